"""Failpoints: a real process ends, or stops, at a chosen moment of its work; the product knows nothing of them.

A failpoint is written as `TARGET WHEN COUNT ACTION [WORD]`, for instance

    taskqueue.store.scripts:Scripts.call after 2 kill plan_append

the process kills itself (SIGKILL) when that function has returned for the second time from a call with the argument
`plan_append`. WHEN is `before` or `after`, ACTION is `kill`, `stop` (SIGSTOP) or `term` (SIGTERM).
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import pkgutil
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

When = Literal["before", "after"]
Action = Literal["kill", "stop", "term"]

#: the environment variable with the failpoint that is armed from the start; more come as lines on stdin
VARIABLE = "FAILPOINT"

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failpoint:
    """A moment: `when` the `count`-th call of `target` (`module:name`), of those with the argument `word`, begins or
    has returned.
    """

    target: str
    when: When
    count: int = 1
    action: Action = "kill"
    word: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the failpoint written as `text`. Raises ValueError."""
        target, when, count, action, *word = text.split()
        if when not in get_args(When) or action not in _SIGNALS or int(count) < 1 or len(word) > 1:
            raise ValueError(f"failpoint {text!r}: write TARGET before|after COUNT kill|stop|term [WORD]")
        return cls(target=target, when=when, count=int(count), action=action, word="".join(word))  # type: ignore[arg-type]  # checked above

    def __str__(self) -> str:
        return " ".join([self.target, self.when, str(self.count), self.action, self.word]).rstrip()


def script(name: str, when: When, count: int = 1, action: Action = "kill") -> Failpoint:
    """Return the failpoint around a script's run in Redis: before it is sent, or after its answer."""
    return Failpoint(target="taskqueue.store.scripts:Scripts.call", when=when, count=count, action=action, word=name)


def install(failpoint: Failpoint) -> None:
    """Wrap the target. Raises AttributeError or ImportError where there is none."""
    module, _, name = failpoint.target.partition(":")
    *path, last = name.split(".")
    owner = pkgutil.resolve_name(f"{module}:{'.'.join(path)}")
    setattr(owner, last, _wrapped(getattr(owner, last), failpoint))


def listen() -> None:
    """Arm what the environment names, and from now on each failpoint that comes as a line on stdin."""
    if text := os.environ.get(VARIABLE):
        install(Failpoint.parse(text))
    threading.Thread(target=_read_stdin, name="failpoints", daemon=True).start()


def _read_stdin() -> None:
    for line in os.fdopen(os.dup(0)):
        failpoint = Failpoint.parse(line)
        install(failpoint)
        _tell("failpoint_armed", failpoint)


def _wrapped(original: Callable[..., Any], failpoint: Failpoint) -> Callable[..., Any]:
    seen = 0

    def pass_by(when: When, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if when != failpoint.when or (failpoint.word and failpoint.word not in arguments):
            return
        seen += 1
        if seen == failpoint.count:
            _tell("failpoint_reached", failpoint)
            os.kill(os.getpid(), _SIGNALS[failpoint.action])

    @functools.wraps(original)
    async def call_async(*arguments: Any, **named: Any) -> Any:
        pass_by("before", arguments)
        result = await original(*arguments, **named)
        pass_by("after", arguments)
        return result

    async def answered(answer: Awaitable[Any], arguments: tuple[object, ...]) -> Any:
        result = await answer
        pass_by("after", arguments)
        return result

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        pass_by("before", arguments)
        result = original(*arguments, **named)
        if inspect.isawaitable(result):
            return answered(result, arguments)
        pass_by("after", arguments)
        return result

    return call_async if inspect.iscoroutinefunction(original) else call


def _tell(event: str, failpoint: Failpoint) -> None:
    # Beside the log's buffer, in one write: it must be out before the signal.
    line = json.dumps({"event": event, "level": "info", "failpoint": str(failpoint)}) + "\n"
    os.write(1, line.encode())
