"""The endpoint that is called: nginx with one worker, which answers at once and writes down each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from taskqueue.dev import packages
from taskqueue.dev.local_server import LocalServer, free_ports
from taskqueue.dev.probe import port_answers
from taskqueue.dev.programs import find_program, search_path

#: Debian's smallest package of it
_PACKAGE = "nginx-light"

# The log is buffered, a microsecond or so for a request. A connection is never closed for what went over it.
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
  log_format hit '$msec $http_idempotency_key';
  access_log hits.log hit buffer=64k flush=100ms;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 '{{"ok":true}}'; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A request that was answered, when (unix seconds, to the millisecond), and its Idempotency-Key; `-` without."""

    at: float
    key: str


class Endpoint:
    """nginx. `hits` are the requests since it was cleared, in the order of their answers."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.hits: list[Hit] = []
        self._log = log
        self._read_to = 0
        self._rest = b""

    def look(self) -> int:
        """Read what was logged meanwhile, a tenth of a second late; return how many hits there are."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            fresh = log.read()
        self._read_to += len(fresh)
        *whole, self._rest = (self._rest + fresh).split(b"\n")
        for line in whole:
            at, _, key = line.decode().partition(" ")
            self.hits.append(Hit(float(at), key))
        return len(self.hits)

    def clear(self) -> None:
        """Forget the hits so far."""
        self.look()
        self.hits.clear()


@contextmanager
def nginx(environ: Mapping[str, str], progress: Callable[[str], None]) -> Iterator[Endpoint]:
    """Run nginx, from the system's package where it is not installed. Raises SystemExit or ServiceError."""
    program = find_program("nginx", environ)
    if program is None and packages.can_install(environ):
        packages.install([_PACKAGE], environ, progress)
        program = find_program("nginx", environ)
    if program is None:
        raise SystemExit(f"nginx is not installed (Debian, Ubuntu: apt-get install {_PACKAGE}); nothing measured")
    (port,) = free_ports(1)
    with TemporaryDirectory(prefix="taskqueue-nginx-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder)
        configuration = directory / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(port=port), encoding="utf-8")
        server = LocalServer(
            name="nginx",
            command=[str(program), "-p", folder, "-c", str(configuration)],
            environment={"PATH": search_path(environ), "LC_ALL": "C"},
            directory=directory,
            ready=lambda: port_answers("127.0.0.1", port),
            deadline=10.0,
        )
        server.start()
        try:
            yield Endpoint(f"http://127.0.0.1:{port}/", directory / "hits.log")
        finally:
            server.kill()
