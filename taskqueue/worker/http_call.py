"""One HTTP call, from a prepared request to a result that never raises.

The worker decides, so nothing happens by itself: no cookies between tasks, no redirects, no proxies or credentials from
the environment, no decompression, and no second sending when a connection broke.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

from taskqueue.core.error_codes import ErrorCode, Sent
from taskqueue.core.value import value
from taskqueue.errors import InvalidValueError
from taskqueue.worker.guard import BlockedAddressError, Guard, Guards
from taskqueue.worker.http_connection import (
    Answer,
    BrokenAnswerError,
    BrokenConnectionError,
    Connection,
    Origin,
    Pool,
    Resolve,
)

#: answer headers that decisions and records use; the others are dropped at once
KEPT_HEADERS = ("retry-after", "x-taskqueue-retry", "content-type", "content-encoding")
_KEPT = frozenset(name.encode() for name in KEPT_HEADERS)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
#: the parts of a longer URL are not kept: it is one that a payload has made, and does not come again
_MOST_KEPT_CHARS: Final = 512

_PORTS: Final = {"http": 80, "https": 443}

Headers = tuple[tuple[str, str], ...]


@value
class HttpRequest:
    """What to send. `url` is absolute, http or https; it and `headers` hold secrets, so the repr leaves them out.

    `host_shown` is what a failure names in place of a host that is a secret itself.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    host_shown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no complete answer. `message` names the host, never the path, query or a header."""

    code: ErrorCode
    message: str
    sent: Sent


@value
class CallResult:
    """What came back. Without `failure` there is an answer, whose body is all of it unless `truncated`.

    `truncated`: the body was cut at the size limit, or came to no good end under a status of 400 or more, which counts
    all the same. With `failure`, `status` is set when the answer broke off after its head. `headers` has KEPT_HEADERS
    in lower case. `body` is as sent, never decompressed.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    duration_s: float = 0.0
    failure: Failure | None = None


class HttpCaller:
    """Makes calls over one pool of kept-alive connections. How many run at once is the caller's to bound.

    `guards` judge where calls may go (None: tasks made through the API may call only the public Internet); `resolve`
    looks names up (None: as the system does).
    """

    def __init__(
        self,
        *,
        user_agent: str,
        connect_timeout_s: float = 10.0,
        guards: Guards | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._own_headers = (("User-Agent", user_agent), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
        self._connect_timeout_s = connect_timeout_s
        self._guards = Guards() if guards is None else guards
        self._resolve = resolve
        self._pool: Pool | None = None

    async def start(self) -> None:
        """Open the pool."""
        if self._pool is None:
            self._pool = Pool(self._resolve)

    async def stop(self) -> None:
        """Close every connection; calls still running fail."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def begin(self, request: HttpRequest, *, deadline_s: float, max_response_bytes: int, guarded: bool = False) -> Call:
        """Return a call that its `run` sends, of a task made through the API if `guarded`, else of tasks.yaml.

        Raises RuntimeError outside start and stop.
        """
        if self._pool is None:
            raise RuntimeError("call outside start and stop")
        answer = Answer(max_body=max_response_bytes, kept_headers=_KEPT)
        return Call(
            self._pool,
            request,
            self._own_headers,
            answer,
            deadline_s=deadline_s,
            connect_s=self._connect_timeout_s,
            guard=self._guards.api if guarded else self._guards.file,
        )

    async def call(
        self, request: HttpRequest, *, deadline_s: float, max_response_bytes: int, guarded: bool = False
    ) -> CallResult:
        """Send `request` once and return what came back within `deadline_s`, with at most `max_response_bytes` of body.

        HTTP and network problems are a `failure` in the result. Raises RuntimeError outside start and stop, and lets
        CancelledError pass.
        """
        call = self.begin(request, deadline_s=deadline_s, max_response_bytes=max_response_bytes, guarded=guarded)
        return await call.run()


class Call:
    """One call. `cut` ends it from outside; `was_cut` says that it would have gone on otherwise."""

    __slots__ = (
        *("_answer", "_connect_s", "_deadline_s", "_dialling", "_done", "_ended", "_guard", "_loop", "_own_headers"),
        *("_pool", "_request", "_sent", "was_cut"),
    )

    def __init__(
        self,
        pool: Pool,
        request: HttpRequest,
        own_headers: Headers,
        answer: Answer,
        *,
        deadline_s: float,
        connect_s: float,
        guard: Guard | None = None,
    ) -> None:
        self.was_cut = False
        self._pool = pool
        self._request = request
        self._own_headers = own_headers
        self._answer = answer
        self._deadline_s = deadline_s
        self._connect_s = connect_s
        self._guard = guard
        self._sent: Sent = "not_sent"
        self._loop = asyncio.get_running_loop()
        self._ended = False
        #: while a connection is made, and while its answer is awaited
        self._dialling: asyncio.Timeout | None = None
        self._done: asyncio.Future[None] | None = None

    def cut(self) -> None:
        """End the call now; one that is over already stays as it is."""
        if not self._ended and (self._done is None or not self._done.done()):
            self.was_cut = True
            self._expire()

    async def run(self) -> CallResult:
        """Send the request and return what came back."""
        began = time.monotonic()  # finer than the loop's own clock, which uvloop keeps in milliseconds
        failure = None
        try:
            await self._exchange()
        except _CALL_ERRORS as error:
            failure = self._failure(error)
        finally:
            self._ended = True
        answer = self._answer
        return CallResult(
            status=answer.status,
            headers=answer.headers,
            body=bytes(answer.body),
            truncated=answer.truncated,
            duration_s=time.monotonic() - began,
            failure=failure,
        )

    def _failure(self, error: Exception) -> Failure | None:
        """Return why there is no answer; None where there is one all the same, since the status of a refusal says all.

        A server that refuses a request while it is still coming (413, 401) often closes at once, and what else its
        answer held is lost to the reset which that causes (RFC 9112, 9.6).
        """
        if self._answer.status is not None and self._answer.status >= 400 and not self.was_cut:
            self._answer.truncated = True
            return None
        failure = _failure_of(error, _host_of(self._request.url), sent=self._sent)
        shown = self._request.host_shown
        return failure if shown is None else _hiding_host(failure, self._request.url, shown)

    async def _exchange(self) -> None:
        origin, payload = _encoded(self._request, self._own_headers, self._guard)
        deadline = self._loop.time() + self._deadline_s
        connection = self._pool.take(origin) or await self._dial(origin, deadline)
        if self.was_cut:
            connection.close()
            raise TimeoutError
        if not connection.usable:
            raise BrokenConnectionError  # a server that spoke or left before it was asked anything
        self._sent = "unknown"
        self._done = connection.send(payload, self._answer)
        expiry = self._loop.call_at(deadline, self._expire)
        try:
            await self._done
        except BaseException:
            connection.give_up(self._done)
            raise
        finally:
            expiry.cancel()

    async def _dial(self, origin: Origin, deadline: float) -> Connection:
        until = min(deadline, self._loop.time() + self._connect_s)
        async with asyncio.timeout_at(self._loop.time() if self.was_cut else until) as self._dialling:
            return await self._pool.dial(origin)

    def _expire(self) -> None:
        if self._done is not None:
            if not self._done.done():
                self._done.set_exception(TimeoutError())
        elif self._dialling is not None and not self._dialling.expired():
            self._dialling.reschedule(self._loop.time())


# --- the request ------------------------------------------------------------------------------------------------------


def _encoded(request: HttpRequest, own_headers: Headers, guard: Guard | None) -> tuple[Origin, bytes]:
    """Return whom the request goes to, and its bytes. Raises InvalidValueError for what cannot be sent."""
    parts = _split(request.url)
    if not _is_token(request.method):
        raise InvalidValueError("the method cannot be sent")
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    length = "" if request.body is None else f"Content-Length: {len(request.body)}\r\n"
    head = (
        f"{request.method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"{_lines_beside(tuple(request.headers), own_headers)}{_lines(request.headers)}{length}\r\n"
    )
    origin = _origin(parts.scheme == "https", parts.hostname or "", parts.port or _PORTS[parts.scheme], guard)
    return origin, head.encode() + (request.body or b"")


#: one object for each origin is cheaper than to make one for each call, and to compare it with the one of the pool
_origin = lru_cache(maxsize=4096)(Origin)


def _lines(headers: Mapping[str, str]) -> str:
    if not "".join(headers.values()).isprintable():
        names = [name for name, value in headers.items() if not value.isprintable()]
        raise InvalidValueError(f"header {names[0]} has a character that no header can carry")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


@lru_cache(maxsize=1024)
def _lines_beside(names: tuple[str, ...], own_headers: Headers) -> str:
    """Return the lines of our headers, without those that stand among `names`, which a header may have."""
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise InvalidValueError("a header cannot be sent")
    theirs = {name.lower() for name in names}
    return "".join(f"{name}: {value}\r\n" for name, value in own_headers if name.lower() not in theirs)


def _split(url: str) -> SplitResult:
    """Return the parts of an absolute URL. Raises InvalidValueError."""
    return _kept_parts(url) if len(url) <= _MOST_KEPT_CHARS else _parts(url)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and parts.username is None
        usable = bool(complete and _VISIBLE.fullmatch(url))
    except ValueError:
        usable = False
    if not usable:
        raise InvalidValueError("the URL cannot be called")
    return parts


_kept_parts = lru_cache(maxsize=4096)(_parts)


@lru_cache(maxsize=1024)
def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


# --- failures ---------------------------------------------------------------------------------------------------------

#: everything that a call can meet; TimeoutError, ssl.SSLError and socket.gaierror are OSErrors
_CALL_ERRORS = (
    OSError,
    InvalidValueError,
    BlockedAddressError,
    BrokenAnswerError,
    BrokenConnectionError,
    UnicodeError,
)


def _failure_of(error: Exception, host: str, *, sent: Sent) -> Failure:
    code, what = _code_of(error, sent)
    return Failure(code=code, message=f"{host}: {what}", sent=sent)


def _code_of(error: Exception, sent: Sent) -> tuple[ErrorCode, str]:
    match error:
        case TimeoutError() if error.errno is None and sent == "unknown":
            return ErrorCode.TIMEOUT, "no complete answer in time"
        case InvalidValueError():
            return ErrorCode.INVALID_REQUEST, str(error)
        case UnicodeError():
            return ErrorCode.INVALID_REQUEST, "the host is no valid name"
        case BrokenAnswerError():
            return ErrorCode.PROTOCOL_ERROR, f"the answer {error}"
        case BrokenConnectionError():
            return ErrorCode.CONNECTION_RESET, "the connection broke before the answer was complete"
        case _:
            return _connect_code(error)


def _connect_code(error: Exception) -> tuple[ErrorCode, str]:
    match error:
        case TimeoutError() if error.errno is None:
            return ErrorCode.CONNECT_TIMEOUT, "no connection in time"
        case ssl.SSLError():
            # Attributes that only the ssl module itself sets; both hold OpenSSL's words, nothing of the request.
            detail = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
            return ErrorCode.TLS_ERROR, f"TLS failed: {detail}"
        case BlockedAddressError():
            return ErrorCode.BLOCKED_ADDRESS, str(error)
        case socket.gaierror():
            return ErrorCode.DNS_FAILURE, "the name cannot be resolved"
        case ConnectionRefusedError():
            return ErrorCode.CONNECTION_REFUSED, "connection refused"
        case _:
            number = error.errno if isinstance(error, OSError) else None
            name = errno.errorcode.get(number or 0, type(error).__name__)
            return ErrorCode.CONNECTION_FAILED, f"cannot connect ({name})"


def _hiding_host(failure: Failure, url: str, shown: str) -> Failure:
    """Return `failure` with `shown` for the host of `url`, also where a reason quotes it, as that of TLS does."""
    host = _host_of(url)
    message = failure.message.replace(host, shown)
    return replace(failure, message=message.replace(urlsplit(url).hostname or host, shown))


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "invalid URL"
    return f"{parts.hostname}{port}" if parts.hostname else "invalid URL"
