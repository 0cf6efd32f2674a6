"""Redis for development, from an installed `redis-server`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from taskqueue.dev.local_server import LocalServer, free_ports
from taskqueue.dev.probe import redis_answers
from taskqueue.dev.programs import find_program, search_path

_START_DEADLINE = 30.0


def find_redis_server(environ: Mapping[str, str]) -> Path | None:
    """Return the installed redis-server, or None."""
    return find_program("redis-server", environ)


def local_redis(
    program: Path, directory: Path, environ: Mapping[str, str], options: Sequence[str] = ()
) -> tuple[LocalServer, str]:
    """Return a Redis that is not started yet, and its `host:port`; it keeps its data in `directory`.

    It is set up as in production: append-only file, and no key is ever evicted. `options` are further words of its
    command line.
    """
    (port,) = free_ports(1)
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(directory),
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }
    command = [str(program)]
    for name, value in settings.items():
        command += [f"--{name}", value]
    command += options
    server = LocalServer(
        name="redis",
        command=command,
        environment={"PATH": search_path(environ), "HOME": str(directory), "LC_ALL": "C"},
        directory=directory,
        ready=lambda: redis_answers("127.0.0.1", port),
        deadline=_START_DEADLINE,
    )
    return server, f"127.0.0.1:{port}"
