"""One HTTP call, from a prepared request to a result that never raises; the only home of the HTTP client.

What the client would do by itself is switched off, because the worker decides: no cookies between tasks, no redirects,
no proxies or credentials from the environment, no decompression, and no second sending when a connection broke.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection

#: answer headers that decisions and records use; the others are dropped at once
KEPT_HEADERS = ("retry-after", "content-type", "content-encoding")

#: below the 5 s after which common servers (uvicorn, Node.js) close an idle connection: a request written to one that
#: is just being closed is lost with an unknown effect
_KEEP_ALIVE_S = 4.0

#: limits for the head of an answer; the client's own defaults, written down because they bound memory
_MAX_HEAD_LINE_BYTES = 8190
_MAX_HEADERS = 128

#: everything that a call can meet: TimeoutError is an OSError, a header that cannot be sent a ValueError
_CALL_ERRORS = (aiohttp.ClientError, OSError, ValueError)

#: whether the endpoint can have seen the request
Sent = Literal["not_sent", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What to send. `url` is absolute, http or https; `headers` hold resolved secrets, so the repr leaves them out."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no complete answer.

    `code` is stable: invalid_request, dns_failure, connect_timeout, connection_refused, connection_failed, tls_error,
    timeout, connection_reset, protocol_error. `message` names the host, never the path, query or a header.
    """

    code: str
    message: str
    sent: Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What came back. Without `failure` the answer is complete, or cut at the size limit (`truncated`).

    With `failure`, `status` is set when the answer broke off after its head. `headers` has KEPT_HEADERS in lower case.
    `body` is as sent, never decompressed.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    duration_s: float = 0.0
    failure: Failure | None = None


class _ConnectionBrokeError(aiohttp.ClientConnectionError):
    """A connection that broke after it was established; its cause is the client's own error."""


class HttpCaller:
    """Makes calls over one pool of kept-alive connections. How many run at once is the caller's to bound."""

    def __init__(self, *, user_agent: str, connect_timeout_s: float = 10.0) -> None:
        self._user_agent = user_agent
        self._connect_timeout_s = connect_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
                headers={"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s),
                request_class=_TrackedRequest,
                max_line_size=_MAX_HEAD_LINE_BYTES,
                max_field_size=_MAX_HEAD_LINE_BYTES,
                max_headers=_MAX_HEADERS,
            )

    async def stop(self) -> None:
        """Close every connection; calls still running fail."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, request: HttpRequest, *, deadline_s: float, max_response_bytes: int) -> CallResult:
        """Send `request` once and return what came back within `deadline_s`, with at most `max_response_bytes` of body.

        HTTP and network problems are a `failure` in the result. Raises RuntimeError outside start and stop, and lets
        CancelledError pass.
        """
        if self._session is None:
            raise RuntimeError("call outside start and stop")
        began = time.monotonic()  # finer than the loop's own clock, which uvloop keeps in milliseconds
        exchange = _Exchange()
        failure = None
        try:
            async with asyncio.timeout(deadline_s):
                await exchange.run(self._session, request, max_response_bytes)
        except _CALL_ERRORS as error:
            failure = _failure_of(error, _host_of(request.url), sent=exchange.sent)
        return CallResult(
            status=exchange.status,
            headers=exchange.headers,
            body=bytes(exchange.body),
            truncated=exchange.truncated,
            duration_s=time.monotonic() - began,
            failure=failure,
        )


class _TrackedRequest(aiohttp.ClientRequest):
    """Knows whether it got as far as a connection, so that its bytes may have left."""

    sent = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        self.sent = True
        return await super().send(conn)


class _Exchange:
    """One request and its answer, as far as they came: what is here survives a failure half-way."""

    __slots__ = ("_request", "body", "headers", "status", "truncated")

    def __init__(self) -> None:
        self._request: _TrackedRequest | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.truncated = False

    @property
    def sent(self) -> Sent:
        return "unknown" if self._request is not None and self._request.sent else "not_sent"

    async def run(self, session: aiohttp.ClientSession, request: HttpRequest, max_bytes: int) -> None:
        async with session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            middlewares=(self._send_once,),
        ) as response:
            self.status = response.status
            self.headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            async for chunk in response.content.iter_any():
                self.body += chunk
                if len(self.body) > max_bytes:
                    del self.body[max_bytes:]
                    self.truncated = True
                    # Reading on only to keep the connection could mean gigabytes.
                    response.close()
                    return

    async def _send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # On a broken kept-alive connection the client sends GET, PUT and DELETE again by itself. Two executions for one
        # attempt are not its decision: an error that it does not know as a broken connection stops that.
        self._request = cast(_TrackedRequest, request)
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _ConnectionBrokeError from error


# --- failures ---------------------------------------------------------------------------------------------------------

#: the first row whose class fits; everything else is a connection that broke
_CODES: tuple[tuple[type[Exception], str, str], ...] = (
    (aiohttp.InvalidURL, "invalid_request", "the URL cannot be called"),
    (aiohttp.NonHttpUrlClientError, "invalid_request", "the URL is neither http nor https"),
    (ValueError, "invalid_request", "the method, a header or the URL cannot be sent"),
    (aiohttp.ClientResponseError, "protocol_error", "the answer is not valid HTTP"),
    (aiohttp.ClientPayloadError, "protocol_error", "the body of the answer ended early or is malformed"),
)


def _failure_of(error: Exception, host: str, *, sent: Sent) -> Failure:
    if isinstance(error, TimeoutError):
        timeout = ("timeout", "no complete answer in time")
        code, what = timeout if sent == "unknown" else ("connect_timeout", "no connection in time")
    elif isinstance(error, aiohttp.ClientConnectorError):
        code, what = _connect_code(error)
    else:
        broken = ("connection_reset", "the connection broke before the answer was complete")
        code, what = next((row[1:] for row in _CODES if isinstance(error, row[0])), broken)
    return Failure(code=code, message=f"{host}: {what}", sent=sent)


def _connect_code(error: aiohttp.ClientConnectorError) -> tuple[str, str]:
    # A certificate that fails has an exception of its own, which is no OSError with a cause.
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error.os_error
    match cause:
        case ssl.SSLError():
            # Attributes that only the ssl module itself sets; both hold OpenSSL's words, nothing of the request.
            detail = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__
            return "tls_error", f"TLS failed: {detail}"
        case socket.gaierror():
            return "dns_failure", "the name cannot be resolved"
        case ConnectionRefusedError():
            return "connection_refused", "connection refused"
        case _:
            number = cause.errno if isinstance(cause, OSError) else None
            return "connection_failed", f"cannot connect ({errno.errorcode.get(number or 0, type(cause).__name__)})"


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "invalid URL"
    return f"{parts.hostname}{port}" if parts.hostname else "invalid URL"
