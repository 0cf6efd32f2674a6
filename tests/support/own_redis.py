"""Redis servers for what must not be done to one that others use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.redis_local import find_redis_server, local_redis


@dataclass(slots=True, kw_only=True)
class OwnRedis:
    """Redis servers of one test alone: to stop, to fill, to make a replica of another."""

    program: Path
    directory: Path
    servers: list[LocalServer] = field(default_factory=list)

    def start(self, *options: str) -> tuple[LocalServer, str]:
        """Return a server that runs, and its `host:port`; `options` end its command line."""
        own = self.directory / str(len(self.servers))
        own.mkdir()
        server, address = local_redis(self.program, own, os.environ, options)
        self.servers.append(server)
        server.start()
        return server, address


@contextmanager
def own_redis_servers() -> Iterator[OwnRedis]:
    """Start servers for what comes in the block; none is left behind. Skips the test where they are not installed."""
    program = find_redis_server(os.environ)
    if program is None:
        pytest.skip("redis-server is not installed: the Redis that was found may not be broken")
    with tempfile.TemporaryDirectory(prefix="taskqueue-test-", ignore_cleanup_errors=True) as directory:
        own = OwnRedis(program=program, directory=Path(directory))
        try:
            yield own
        finally:
            for server in own.servers:
                server.kill()
