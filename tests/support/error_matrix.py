"""Each way a call can go, produced by an endpoint of its own, and what the worker has to make of it.

tests/integration/test_error_matrix.py makes each of these calls; docs/errors.md shows them as a table.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from taskqueue.core.error_codes import ErrorCode, RetryClass, Sent
from taskqueue.core.task import TaskSource
from tests.support.sick_endpoints import (
    Endpoint,
    answering,
    at,
    called_as_https,
    drips,
    floods,
    full_backlog,
    nobody,
    over_tls,
    refuses_and_lingers,
    resets,
    resets_at_once,
    says,
    scripted,
    silent,
    speaks_first,
)

#: what no message may repeat of an answer or a request
CANARY = "canary"

#: names that a test's resolver does not find, and for which it takes for ever
UNKNOWN_NAME = "unknown.invalid"
SLOW_NAME = "slow.invalid"

_OK = b"HTTP/1.1 200 OK\r\n"
_EMPTY = b"Content-Length: 0\r\n\r\n"
#: more than the buffers between two sockets of one machine take, so that a part is always still to be sent
_MUCH = bytes(16_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the worker makes of a call: the code and class of a failure, both None for a success.

    `sent` is `answered` where an answer decides. `status` is that of the answer, also of one that broke off.
    """

    code: str | None
    sent: Sent | Literal["answered"]
    retry: RetryClass | None
    status: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way a call can go. `what` happens is said in words, durations are in seconds.

    `late`: the connection is used only when the endpoint has ended it. `meanwhile`: what happens to the job as soon as
    the endpoint is dialled (not_sent) or asked (unknown).
    """

    what: str
    endpoint: Endpoint
    expected: Expected
    deadline_s: float = 30.0
    connect_s: float = 30.0
    payload: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    source: TaskSource = TaskSource.FILE
    late: bool = False
    meanwhile: Literal["stop", "cancel"] | None = None


def _not_sent(code: ErrorCode, retry: RetryClass = RetryClass.RETRYABLE) -> Expected:
    return Expected(code=code, sent="not_sent", retry=retry)


def _unknown(code: ErrorCode, status: int | None = None) -> Expected:
    return Expected(code=code, sent="unknown", retry=RetryClass.UNKNOWN_EFFECT, status=status)


def _success(status: int = 200, *, truncated: bool = False) -> Expected:
    return Expected(code=None, sent="answered", retry=None, status=status, truncated=truncated)


def _answered(status: int, retry: RetryClass, *, truncated: bool = False) -> Expected:
    return Expected(code=f"http_{status}", sent="answered", retry=retry, status=status, truncated=truncated)


_DNS, _REFUSED = _not_sent(ErrorCode.DNS_FAILURE), _not_sent(ErrorCode.CONNECTION_REFUSED)
_NO_CONNECTION, _TOO_SLOW = _not_sent(ErrorCode.CONNECTION_FAILED), _not_sent(ErrorCode.CONNECT_TIMEOUT)
_TLS, _BROKEN_BEFORE = _not_sent(ErrorCode.TLS_ERROR), _not_sent(ErrorCode.CONNECTION_RESET)
_INVALID = _not_sent(ErrorCode.INVALID_REQUEST, RetryClass.PERMANENT)
_BLOCKED = _not_sent(ErrorCode.BLOCKED_ADDRESS, RetryClass.PERMANENT)
_BROKEN, _TIMEOUT = _unknown(ErrorCode.CONNECTION_RESET), _unknown(ErrorCode.TIMEOUT)
_NO_HTTP, _NO_END = _unknown(ErrorCode.PROTOCOL_ERROR), _unknown(ErrorCode.PROTOCOL_ERROR, 200)
_STOPPED_BEFORE, _STOPPED = _not_sent(ErrorCode.WORKER_STOPPED), _unknown(ErrorCode.WORKER_STOPPED)
_CANCELLED = {
    sent: Expected(code=ErrorCode.CANCELLED, sent=sent, retry=RetryClass.PERMANENT) for sent in ("not_sent", "unknown")
}

_ASKED_FOR_SECRET = {"Authorization": "Bearer ${env:NO_SUCH_VARIABLE}"}

NO_CONNECTION = (
    Case(what="the name has no address", endpoint=at(f"http://{UNKNOWN_NAME}"), expected=_DNS),
    Case(what="the look-up takes too long", endpoint=at(f"http://{SLOW_NAME}"), expected=_TOO_SLOW, connect_s=0.1),
    Case(what="nothing listens on the port", endpoint=nobody, expected=_REFUSED),
    Case(what="there is no route", endpoint=at("http://255.255.255.255:9"), expected=_NO_CONNECTION),
    Case(what="the port accepts no more connections", endpoint=full_backlog, expected=_TOO_SLOW, connect_s=0.1),
    Case(
        what="the TLS handshake never ends",
        endpoint=called_as_https(scripted(silent)),
        expected=_TOO_SLOW,
        connect_s=0.1,
    ),
    Case(
        what="the TLS handshake is reset",
        endpoint=called_as_https(scripted(resets(after=1))),
        expected=_NO_CONNECTION,
    ),
    Case(
        what="plain HTTP where TLS is expected",
        endpoint=called_as_https(scripted(says(b"HTTP/1.1 400 canary\r\n\r\n"))),
        expected=_TLS,
    ),
    Case(what="a self-signed certificate", endpoint=over_tls("self_signed", _OK + _EMPTY), expected=_TLS),
    Case(what="a certificate for another name", endpoint=over_tls("wrong_name", _OK + _EMPTY), expected=_TLS),
    Case(what="an expired certificate", endpoint=over_tls("expired", _OK + _EMPTY), expected=_TLS),
    Case(what="a certificate that is good", endpoint=over_tls("good", _OK + _EMPTY), expected=_success()),
)

NO_REQUEST = (
    Case(what="closed before the request", endpoint=scripted(speaks_first(b"")), expected=_BROKEN_BEFORE, late=True),
    Case(what="reset before the request", endpoint=scripted(resets_at_once), expected=_BROKEN_BEFORE, late=True),
    Case(
        what="an answer before the request",
        endpoint=scripted(speaks_first(_OK + _EMPTY)),
        expected=_BROKEN_BEFORE,
        late=True,
    ),
    Case(what="a URL that cannot be called", endpoint=at("http://host:0"), expected=_INVALID),
    Case(
        what="a secret that the worker does not have",
        endpoint=answering(_OK + _EMPTY),
        expected=_INVALID,
        headers=_ASKED_FOR_SECRET,
    ),
    Case(
        what="a task made through the API calls this machine",
        endpoint=answering(_OK + _EMPTY),
        expected=_BLOCKED,
        source=TaskSource.API,
    ),
    Case(
        what="the worker stops while it connects",
        endpoint=called_as_https(scripted(silent)),
        expected=_STOPPED_BEFORE,
        meanwhile="stop",
    ),
    Case(
        what="the job is cancelled while the worker connects",
        endpoint=called_as_https(scripted(silent)),
        expected=_CANCELLED["not_sent"],
        meanwhile="cancel",
    ),
)

NO_ANSWER = (
    Case(what="never answered", endpoint=scripted(silent), expected=_TIMEOUT, deadline_s=0.5),
    Case(
        what="the head drips beyond the deadline",
        endpoint=scripted(drips(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n")),
        expected=_TIMEOUT,
        deadline_s=0.5,
    ),
    Case(
        what="the body drips beyond the deadline",
        endpoint=scripted(drips(_OK + b"Content-Length: 100000\r\n\r\n", b"x")),
        expected=_unknown(ErrorCode.TIMEOUT, 200),
        deadline_s=0.5,
    ),
    Case(what="closed after the request, without an answer", endpoint=answering(b""), expected=_BROKEN),
    Case(what="closed amid the head", endpoint=answering(_OK + b"X: 1\r\n"), expected=_BROKEN),
    Case(what="reset after the request", endpoint=scripted(resets()), expected=_BROKEN),
    Case(what="reset amid the head", endpoint=scripted(resets(_OK + b"X: 1\r\n")), expected=_BROKEN),
    Case(
        what="reset amid the body of a 200",
        endpoint=scripted(resets(_OK + b"Content-Length: 9\r\n\r\nabc")),
        expected=_unknown(ErrorCode.CONNECTION_RESET, 200),
    ),
    Case(
        what="closed amid the body of a 200",
        endpoint=answering(_OK + b"Content-Length: 9\r\n\r\nabc"),
        expected=_NO_END,
    ),
    Case(
        what="chunks without an end",
        endpoint=answering(_OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
        expected=_NO_END,
    ),
    Case(what="the worker stops during the call", endpoint=scripted(silent), expected=_STOPPED, meanwhile="stop"),
    Case(
        what="the job is cancelled during the call",
        endpoint=scripted(silent),
        expected=_CANCELLED["unknown"],
        meanwhile="cancel",
    ),
)

_X = b"X: " + b"a" * 9000 + b"\r\n"

NO_HTTP = (
    Case(what="garbage", endpoint=answering(b"\x16\x03\x01\x00canary\x00\xff\r\n\r\n"), expected=_NO_HTTP),
    Case(what="a page without a head (HTTP/0.9)", endpoint=answering(b"<html>canary</html>\r\n"), expected=_NO_HTTP),
    Case(what="the greeting of a mail server", endpoint=answering(b"220 canary ESMTP\r\n"), expected=_NO_HTTP),
    Case(what="a server of HTTP/2", endpoint=answering(bytes.fromhex("000000040000000000")), expected=_NO_HTTP),
    Case(what="status 000", endpoint=answering(b"HTTP/1.1 000 canary\r\n" + _EMPTY), expected=_NO_HTTP),
    Case(what="status 999", endpoint=answering(b"HTTP/1.1 999 canary\r\n" + _EMPTY), expected=_NO_HTTP),
    Case(what="a header without a colon", endpoint=answering(_OK + b"canary header\r\n" + _EMPTY), expected=_NO_HTTP),
    Case(what="NUL in a header", endpoint=answering(_OK + b"X: can\x00ary\r\n" + _EMPTY), expected=_NO_HTTP),
    Case(what="too many headers", endpoint=answering(_OK + b"X: 1\r\n" * 200 + _EMPTY), expected=_NO_HTTP),
    Case(what="a header that is too long", endpoint=answering(_OK + _X + _EMPTY), expected=_NO_HTTP),
    Case(what="headers without an end", endpoint=scripted(floods(_OK, b"X: 1\r\n" * 100)), expected=_NO_HTTP),
    Case(what="a header without an end", endpoint=scripted(floods(_OK + b"X: ", b"a" * 4096)), expected=_NO_HTTP),
    Case(what="a status line without an end", endpoint=scripted(floods(_OK[:-2], b"a" * 4096)), expected=_NO_HTTP),
    Case(
        what="interim answers without an end",
        endpoint=scripted(floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
        expected=_NO_HTTP,
    ),
    Case(
        what="two lengths that differ",
        endpoint=answering(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
        expected=_NO_HTTP,
    ),
    Case(
        what="a length and chunks",
        endpoint=answering(_OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        expected=_NO_HTTP,
    ),
    Case(what="a negative length", endpoint=answering(_OK + b"Content-Length: -1\r\n\r\n"), expected=_NO_HTTP),
    Case(
        what="a chunk of no size",
        endpoint=answering(_OK + b"Transfer-Encoding: chunked\r\n\r\ncanary\r\nok\r\n"),
        expected=_NO_END,
    ),
    Case(
        what="a chunk of more than fits",
        endpoint=answering(_OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\nok\r\n"),
        expected=_NO_END,
    ),
)

_BOMB = gzip.compress(bytes(10_000_000))
_GZIP = f"Content-Encoding: gzip\r\nContent-Length: {len(_BOMB)}\r\n\r\n".encode()
_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\n"
_REFUSED_EARLY = _answered(413, RetryClass.PERMANENT)
_REFUSED_AND_CUT = _answered(413, RetryClass.PERMANENT, truncated=True)

ANSWERS = (
    Case(what="200", endpoint=answering(_OK + _EMPTY), expected=_success()),
    Case(
        what="a body without an end",
        endpoint=scripted(floods(_OK + b"\r\n", bytes(65536))),
        expected=_success(truncated=True),
    ),
    Case(
        what="a body that is a thousand times larger unpacked",
        endpoint=answering(_OK + _GZIP + _BOMB),
        expected=_success(),
    ),
    Case(what="a body that ends with its connection", endpoint=answering(_OK + b"\r\nok"), expected=_success()),
    Case(what="the same over TLS", endpoint=over_tls("good", _OK + b"\r\nok"), expected=_success()),
    Case(what="more than an answer", endpoint=answering(_OK + _EMPTY + _OK + _EMPTY), expected=_success()),
    Case(what="204 with a body", endpoint=answering(b"HTTP/1.1 204 No Content\r\n\r\nbody"), expected=_success(204)),
    Case(
        what="103, then 200",
        endpoint=answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + _OK + _EMPTY),
        expected=_success(),
    ),
    Case(
        what="101",
        endpoint=answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: canary\r\n\r\n"),
        expected=_answered(101, RetryClass.PERMANENT),
    ),
    Case(
        what="a redirect",
        endpoint=answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/canary\r\n" + _EMPTY),
        expected=_answered(302, RetryClass.PERMANENT),
    ),
    Case(
        what="404",
        endpoint=answering(b"HTTP/1.1 404 canary\r\n" + _EMPTY),
        expected=_answered(404, RetryClass.PERMANENT),
    ),
    Case(
        what="429",
        endpoint=answering(b"HTTP/1.1 429 canary\r\nRetry-After: 1\r\n" + _EMPTY),
        expected=_answered(429, RetryClass.RETRYABLE),
    ),
    Case(
        what="503",
        endpoint=answering(b"HTTP/1.1 503 canary\r\n" + _EMPTY),
        expected=_answered(503, RetryClass.RETRYABLE),
    ),
    Case(
        what="503 with `X-TaskQueue-Retry: no`",
        endpoint=answering(b"HTTP/1.1 503 canary\r\nX-TaskQueue-Retry: no\r\n" + _EMPTY),
        expected=_answered(503, RetryClass.PERMANENT),
    ),
    Case(
        what="closed amid the body of a 404",
        endpoint=answering(b"HTTP/1.1 404 canary\r\nContent-Length: 9\r\n\r\nabc"),
        expected=_answered(404, RetryClass.PERMANENT, truncated=True),
    ),
    Case(
        what="the body of a 404 drips beyond the deadline",
        endpoint=scripted(drips(b"HTTP/1.1 404 canary\r\nContent-Length: 100000\r\n\r\n", b"x")),
        expected=_answered(404, RetryClass.PERMANENT, truncated=True),
        deadline_s=0.5,
    ),
    Case(
        what="a 503 with a chunk of no size",
        endpoint=answering(b"HTTP/1.1 503 canary\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\nok\r\n"),
        expected=_answered(503, RetryClass.RETRYABLE, truncated=True),
    ),
    Case(
        what="reset amid the body of a 500",
        endpoint=scripted(resets(b"HTTP/1.1 500 canary\r\nContent-Length: 9\r\n\r\nabc")),
        expected=_answered(500, RetryClass.RETRYABLE, truncated=True),
    ),
    Case(
        what="413 while the body is still sent, then closed",
        endpoint=answering(_TOO_LARGE + b"Content-Length: 3\r\n\r\nbig"),
        expected=_REFUSED_EARLY,
        payload=_MUCH,
    ),
    Case(
        what="413 of no known length while the body is still sent, then closed",
        endpoint=answering(_TOO_LARGE + b"Connection: close\r\n\r\nbig"),
        expected=_REFUSED_AND_CUT,
        payload=_MUCH,
    ),
    Case(
        what="413 while the body is still sent, and the rest left unread",
        endpoint=refuses_and_lingers(_TOO_LARGE + b"Connection: close\r\n\r\nbig"),
        expected=_REFUSED_EARLY,
        payload=_MUCH,
    ),
)

#: all of them, by the heads of the tables in docs/errors.md
MATRIX: Mapping[str, tuple[Case, ...]] = {
    "no connection": NO_CONNECTION,
    "no request": NO_REQUEST,
    "no complete answer": NO_ANSWER,
    "no HTTP": NO_HTTP,
    "an answer": ANSWERS,
}


def all_cases() -> Iterator[Case]:
    """Yield each case."""
    for cases in MATRIX.values():
        yield from cases
