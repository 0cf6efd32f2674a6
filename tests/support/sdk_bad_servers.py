"""Servers that are no API, and what every SDK has to make of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.mirror import answer, mirror
from tests.support.raw_endpoint import Script, after_request
from tests.support.sick_endpoints import drips, floods, resets, resets_at_once, says, silent

_CONNECT = frozenset({"ConnectError"})
_MALFORMED = frozenset({"MalformedAnswerError"})
_LATE = frozenset({"RequestTimeoutError"})

_ONCE = frozenset({1})
#: the client of the JDK repeats by itself what was cut before an answer began
_THRICE = frozenset({3, 6})

_HTML = {"Content-Type": "text/html"}
_PROBLEM = {"Content-Type": "application/problem+json"}
_PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"
_BEGUN = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"workers"'
_OPEN_ENDED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
_WORKER = {"worker_id": "w", "status": "active", "capacity": 1, "current_load": 0, "uptime_seconds": 1}
_LAST_HEARTBEAT = "2026-01-08T05:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadServer:
    """What answers a call of `list_workers`, and the error that has to come of it: one of the classes in `errors`.

    `tries` are the counts of connections that may be, where that matters; `members` are members of the error,
    `timeout_s` is the time-out of the client.
    """

    script: Script
    errors: frozenset[str]
    tries: frozenset[int] = frozenset()
    members: Mapping[str, object] = field(default_factory=dict)
    timeout_s: float = 20.0


async def _closes(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close the connection at once."""


def _answers(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Script:
    return after_request(answer(status, body, headers))


def _malformed(body: object) -> BadServer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BadServer(script=_answers(200, text), errors=_MALFORMED, tries=_ONCE)


def _worker(**members: object) -> dict[str, object]:
    return {"workers": [{**_WORKER, "last_heartbeat": _LAST_HEARTBEAT, **members}], "total": 1}


def _without(name: str) -> dict[str, object]:
    return {"workers": [{key: value for key, value in _WORKER.items() if key != name}], "total": 1}


def _problem(status: int, name: str, headers: Mapping[str, str] | None = None, **members: object) -> BadServer:
    body = json.dumps({"title": "T", "status": status, "code": "c", "detail": "d", "request_id": "r"}).encode()
    wanted: dict[str, object] = {"status": status, "code": "c", "detail": "d", "request_id": "r", **members}
    tries = frozenset({3 if status in {429, 502, 503, 504} else 1})
    script = _answers(status, body, {**_PROBLEM, **(headers or {})})
    return BadServer(script=script, errors=frozenset({name}), tries=tries, members=wanted)


def _page(status: int, name: str, tries: frozenset[int] = _ONCE) -> BadServer:
    nothing = {"status": status, "code": None, "detail": None, "errors": None, "extensions": {}}
    return BadServer(script=_answers(status, _PAGE, _HTML), errors=frozenset({name}), tries=tries, members=nothing)


BAD_SERVERS: Mapping[str, BadServer] = {
    # --- connections ---
    # The client of Node connects again for as long as it is let, where nothing was sent yet.
    "closes at once": BadServer(script=_closes, errors=_CONNECT | _LATE, timeout_s=1.0),
    "resets at once": BadServer(script=resets_at_once, errors=_CONNECT, tries=_THRICE),
    "closes without an answer": BadServer(script=after_request(b""), errors=_CONNECT, tries=_THRICE),
    "closes in the head": BadServer(
        script=after_request(b"HTTP/1.1 200 OK\r\nContent-Le"), errors=_CONNECT, tries=_THRICE
    ),
    "closes in the body": BadServer(script=after_request(_BEGUN), errors=_CONNECT, tries=_THRICE),
    "resets in the body": BadServer(script=resets(_BEGUN), errors=_CONNECT, tries=_THRICE),
    "closes in a chunk": BadServer(
        script=after_request(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"workers"'), errors=_CONNECT
    ),
    "speaks something else": BadServer(script=says(b"SSH-2.0-OpenSSH_9.2\r\n"), errors=_CONNECT | _MALFORMED),
    # --- time ---
    "never answers": BadServer(script=silent, errors=_LATE, tries=_ONCE, timeout_s=0.6),
    "drips a body": BadServer(script=drips(_OPEN_ENDED, b" "), errors=_LATE, tries=_ONCE, timeout_s=0.6),
    "drips a head": BadServer(script=drips(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"), errors=_LATE, timeout_s=0.6),
    # --- answers that are none ---
    "a page with 200": BadServer(script=_answers(200, _PAGE, _HTML), errors=_MALFORMED, tries=_ONCE),
    "nothing": _malformed(b""),
    "no JSON": _malformed(b'{"workers": [],'),
    "less than there is": BadServer(
        script=_answers(200, b'{"workers": [], "total": 0}', {"Content-Length": "10"}), errors=_MALFORMED
    ),
    "no UTF-8": _malformed(b'{"workers": [], "total": 0, "x": "\xff\xfe"}'),
    "JSON without a bottom": _malformed(b"[" * 200_000),
    "a list": _malformed([1, 2]),
    "null": _malformed(None),
    "a text": _malformed("workers"),
    "another shape": _malformed({"error": "no"}),
    "a list that is an object": _malformed({"workers": {}, "total": 0}),
    "a missing member": _malformed(_without("capacity")),
    "a number that is a text": _malformed(_worker(capacity="10")),
    "a number that is a fraction": _malformed(_worker(capacity=1.5)),
    "null for a number": _malformed(_worker(capacity=None)),
    "a text that is a number": _malformed(_worker(worker_id=7)),
    "an instant that is none": _malformed(_worker(last_heartbeat="yesterday")),
    "an instant without a zone": _malformed(_worker(last_heartbeat="2026-01-08T05:00:00")),
    "too much": BadServer(script=floods(_OPEN_ENDED, b" " * (1 << 20)), errors=_MALFORMED, tries=_ONCE, timeout_s=30.0),
    # --- errors ---
    "the page of a proxy": _page(502, "ServerError", tries=frozenset({3})),
    "the page of another server": _page(404, "NotFoundError"),
    "a page that cannot read the request": _page(400, "BadRequestError"),
    "a page of no use": _page(418, "ApiError"),
    "a problem of another shape": BadServer(
        script=_answers(422, json.dumps({"code": 5, "errors": "all"}).encode(), _PROBLEM),
        errors=frozenset({"ValidationError"}),
        members={"status": 422, "code": None, "errors": None},
    ),
    "a problem that is cut short": BadServer(
        script=_answers(409, b'{"code": "c', _PROBLEM),
        errors=frozenset({"ConflictError"}),
        members={"status": 409, "code": None},
    ),
    "a problem that shows what was sent": BadServer(
        script=mirror(lambda head, _body: answer(401, json.dumps({"detail": head, "code": "c"}).encode(), _PROBLEM)),
        errors=frozenset({"AuthenticationError"}),
        members={"status": 401, "code": "c"},
    ),
    "busy": _problem(503, "ServiceUnavailableError", {"Retry-After": "0"}, retry_after=0),
    "busy for an hour": BadServer(
        script=_answers(503, b"", {"Retry-After": "3600"}),
        errors=frozenset({"ServiceUnavailableError"}),
        tries=_ONCE,
        members={"status": 503, "retry_after": 3600},
    ),
    "too fast": _problem(429, "RateLimitedError"),
    "a status of no use": _problem(418, "ApiError"),
    "a mistake": _problem(500, "ServerError"),
}
