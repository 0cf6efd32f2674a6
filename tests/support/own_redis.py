"""Redis servers for what must not be done to one that others use."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.redis_local import local_redis


@dataclass(slots=True, kw_only=True)
class OwnRedis:
    """Redis servers of one test alone: to stop, to fill, to make a replica of another."""

    program: Path
    directory: Path
    servers: list[LocalServer] = field(default_factory=list)

    def start(self) -> tuple[LocalServer, str]:
        """Return a server that runs, and its `host:port`."""
        own = self.directory / str(len(self.servers))
        own.mkdir()
        server, address = local_redis(self.program, own, os.environ)
        self.servers.append(server)
        server.start()
        return server, address
