"""A scripted HTTP endpoint for demos, tests and benchmarks: it records every call and answers as its path says.

    /ok, and any path not listed here   200
    /status/{code}?retry_after={s}      that status, with Retry-After when given
    /fail/{n}                           500 to the first n calls with the same Idempotency-Key, then 200
    /slow/{ms}                          200 after so many milliseconds
    /block                              200 once somebody releases it
    /hang                               never an answer
    /reset                              the connection is reset

A rule for a user (header X-TaskQueue-User) replaces the path. The same control from outside the process:
`POST /-/release`, `POST /-/clear`, `GET /-/calls`, `PUT /-/users/{user_id}` with the path as body.

As a process: `python -m taskqueue.dev.target --port 0 --record calls.jsonl` prints its URL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO
from urllib.parse import parse_qs, unquote, urlsplit

from taskqueue.dev.target_http import Answer, Connection, Request
from taskqueue.errors import InvalidValueError
from taskqueue.runtime import run, stop_signals

#: values that a record file must not keep
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})

_CONTROL_PREFIX = "/-/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that arrived. `at` is unix seconds; header names are in lower case.

    `status` is the answer it gets: None when it gets none (/hang, /reset) or is still to be released (/block).
    """

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None


@dataclass(frozen=True, slots=True)
class FailFirst:
    """500 to the first `times` calls of a job, 200 to the next."""

    times: int


@dataclass(frozen=True, slots=True)
class Block:
    """No answer before the release."""


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer at all."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection reset instead of an answer."""


Behaviour = Answer | FailFirst | Block | Hang | Reset

_PLAIN: Mapping[str, Behaviour] = {"block": Block(), "hang": Hang(), "reset": Reset()}


def behaviour_of(path: str) -> Behaviour:
    """Return what the target does on a call of `path`. Raises InvalidValueError for a number that is none."""
    parts = urlsplit(path)
    name, _, argument = parts.path.strip("/").partition("/")
    match name:
        case "status":
            wait = parse_qs(parts.query).get("retry_after")
            return Answer(status=_number(argument), headers={"Retry-After": wait[0]} if wait else {})
        case "fail":
            return FailFirst(_number(argument))
        case "slow":
            return Answer(delay_s=_number(argument) / 1000)
        case _:
            return _PLAIN.get(name, Answer())


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidValueError(f"path of the target: {text[:40]!r} must be a number")
    return int(text[:9])


class Target:
    """The endpoint. Use it as `async with Target() as target`; `calls` and `url` are read at any time."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, record: Path | None = None) -> None:
        self.calls: list[Call] = []
        self._host = host
        self._port = port
        self._record_path = record
        self._record: TextIO | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._blocked: list[Connection] = []
        self._rules: dict[str, str] = {}
        self._seen: Counter[str] = Counter()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def __aenter__(self) -> Self:
        """Listen, and open the record file for appending."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._connections), self._host, self._port, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        if self._record_path is not None:
            # Line-buffered: what was called must be on disk when a test kills this process.
            self._record = self._record_path.open("a", encoding="utf-8", buffering=1)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.abort()
            await self._server.wait_closed()
        if self._record is not None:
            self._record.close()

    @property
    def url(self) -> str:
        """The root, such as `http://127.0.0.1:4711`, without a slash at its end."""
        return f"http://{self._host}:{self._port}"

    @property
    def blocked(self) -> int:
        """How many calls wait for `release` now."""
        return sum(connection in self._connections for connection in self._blocked)

    async def wait_for_calls(self, count: int, *, timeout_s: float = 10.0) -> Sequence[Call]:
        """Return the calls once there are at least `count`. Raises TimeoutError."""
        if len(self.calls) < count:
            arrived = asyncio.get_running_loop().create_future()
            self._waiting.append((count, arrived))
            async with asyncio.timeout(timeout_s):
                await arrived
        return tuple(self.calls)

    def set_user_rule(self, user_id: str, path: str | None) -> None:
        """Answer calls for `user_id` as if they were for `path`; None removes the rule. Raises InvalidValueError."""
        if path is None:
            self._rules.pop(user_id, None)
        else:
            behaviour_of(path)
            self._rules[user_id] = path

    def release(self) -> int:
        """Answer every call that is blocked now, and return how many those were. Later ones block again."""
        released = [connection for connection in self._blocked if connection in self._connections]
        self._blocked.clear()
        for connection in released:
            connection.answer(Answer())
        return len(released)

    def clear(self) -> None:
        """Forget the calls and the counts of /fail; the record file keeps them."""
        self.calls.clear()
        self._seen.clear()

    def _serve(self, connection: Connection, request: Request) -> None:
        if request.path.startswith(_CONTROL_PREFIX):
            connection.answer(self._control(request))
            return
        path = self._rules.get(request.headers.get("x-taskqueue-user", ""), request.path)
        try:
            behaviour = behaviour_of(path)
        except InvalidValueError as error:
            behaviour = Answer(status=400, body=str(error).encode())
        if isinstance(behaviour, FailFirst):
            key = request.headers.get("idempotency-key", "")
            self._seen[key] += 1
            behaviour = Answer(status=500 if self._seen[key] <= behaviour.times else 200)
        self._note(request, behaviour.status if isinstance(behaviour, Answer) else None)
        self._act(connection, behaviour)

    def _act(self, connection: Connection, behaviour: Behaviour) -> None:
        match behaviour:
            case Answer():
                connection.answer(behaviour)
            case Block():
                self._blocked.append(connection)
            case Reset():
                connection.reset()

    def _note(self, request: Request, status: int | None) -> None:
        call = Call(
            at=time.time(),
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=request.body,
            status=status,
        )
        self.calls.append(call)
        if self._record is not None:
            self._record.write(json.dumps(_as_dict(call)) + "\n")
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        arrived = len(self.calls)
        for count, future in self._waiting:
            if count <= arrived and not future.done():
                future.set_result(None)
        self._waiting = [(count, future) for count, future in self._waiting if not future.done()]

    def _control(self, request: Request) -> Answer:
        verb, _, argument = request.path.removeprefix(_CONTROL_PREFIX).partition("/")
        match request.method, verb:
            case "POST", "release":
                return Answer(body=json.dumps({"released": self.release()}).encode())
            case "POST", "clear":
                self.clear()
                return Answer()
            case "GET", "calls":
                return Answer(body=json.dumps([_as_dict(call) for call in self.calls]).encode())
            case "PUT", "users":
                return self._control_user(unquote(argument), request.body.decode())
            case _:
                return Answer(status=404, body=b"unknown control path")

    def _control_user(self, user_id: str, path: str) -> Answer:
        try:
            self.set_user_rule(user_id, path or None)
        except InvalidValueError as error:
            return Answer(status=400, body=str(error).encode())
        return Answer()


def _as_dict(call: Call) -> dict[str, object]:
    headers = {name: "[redacted]" if name in _SECRET_HEADERS else value for name, value in call.headers.items()}
    return {
        "at": call.at,
        "method": call.method,
        "path": call.path,
        "headers": headers,
        "body": call.body.decode(errors="replace"),
        "status": call.status,
    }


# --- process ----------------------------------------------------------------------------------------------------------


async def _serve_until_stopped(options: argparse.Namespace) -> int:
    with stop_signals() as stop:
        async with Target(host=options.host, port=options.port, record=options.record) as target:
            for rule in options.user:
                user_id, _, path = rule.partition("=")
                target.set_user_rule(user_id, path)
            sys.stdout.write(target.url + "\n")
            sys.stdout.flush()
            await stop.wait()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the target as a process until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m taskqueue.dev.target", description="A scripted HTTP endpoint.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--record", type=Path, help="append every call to this file, one JSON object a line")
    parser.add_argument("--user", action="append", default=[], metavar="USER=PATH", help="answer this user like PATH")
    options = parser.parse_args(arguments)
    return run(lambda: _serve_until_stopped(options))


if __name__ == "__main__":
    raise SystemExit(main())
