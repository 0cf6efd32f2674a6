"""An HTTP server in threads that answers as a test says; the requests that it got can be looked at."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. Header names are in lower case; `port` is that of the client's side."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


@dataclass(slots=True, kw_only=True)
class Server:
    """`answers` gives status, JSON body and headers for the request so far counted, from 1 on."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: Callable[[int], tuple[int, Any, dict[str, str]]] = lambda _count: (200, {}, {})

    def always(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer every request like this; `retry_after="1"` is the header Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers = lambda _count: (status, body, named)


@contextmanager
def threaded_server(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve, over `tls` if given, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            found.asked.append(
                Asked(method=self.command, path=self.path, headers=headers, body=body, port=int(self.client_address[1]))
            )
            status, answer, more = found.answers(len(found.asked))
            text = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            named = {"Content-Type": "application/json"} | ({} if status == 204 else {"Content-Length": str(len(text))})
            for name, value in (named | more).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  # the names are http.server's

        def handle(self) -> None:
            # Who asked may have left.
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        found = Server(url=f"{'https' if tls else 'http'}://127.0.0.1:{http.server_address[1]}")
        serving = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        yield found
        http.shutdown()
        serving.join(5)
