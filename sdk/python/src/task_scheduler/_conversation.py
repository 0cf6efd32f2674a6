"""What is sent in which order, without a network: tries, waits between them, pages, and waiting for an end.

A conversation is a generator. It yields a Request, and gets the Answer or has the error thrown into it; or it yields a
Pause. The two clients differ only in how they carry that out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from task_scheduler._exchange import Answer, Request, retry_after_s
from task_scheduler.api.models import Execution, ExecutionDetails, ExecutionList, TaskPage, TaskRow
from task_scheduler.api.operations import TaskFilters, get_execution, get_executions, list_tasks
from task_scheduler.errors import ConnectError, TaskSchedulerError, WaitTimeoutError

#: seconds of the longest first pause; each one that follows may take twice as long
_BACKOFF_S = 0.25

#: the longest Retry-After that is waited for by itself; what asks for more is for the caller to decide
MAX_RETRY_AFTER_S = 30.0

#: seconds between two looks at an execution: at first, and at most
_FIRST_LOOK_S = 0.1
_LAST_LOOK_S = 2.0

_AGAIN = frozenset({429, 502, 503, 504})

_Result = TypeVar("_Result")
_Row = TypeVar("_Row")
_Page = TypeVar("_Page", bound=TaskPage | ExecutionList)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended(Generic[_Result]):
    """Nothing is left to do."""

    result: _Result


Step: TypeAlias = Request[Any] | Pause
Conversation: TypeAlias = Generator[Step, Answer, _Result]


def first_step(conversation: Conversation[_Result]) -> Step | Ended[_Result]:
    """Return what is to be done first."""
    return _step(lambda: next(conversation))


def next_step(conversation: Conversation[_Result], met: Answer | TaskSchedulerError | None) -> Step | Ended[_Result]:
    """Return what is to be done after a step that met this: an answer, an error, or after a pause nothing."""
    if met is None:
        return first_step(conversation)
    if isinstance(met, TaskSchedulerError):
        return _step(lambda: conversation.throw(met))
    return _step(lambda: conversation.send(met))


def _step(advance: Callable[[], Step]) -> Step | Ended[Any]:
    # A StopIteration that left a coroutine would be a RuntimeError.
    try:
        return advance()
    except StopIteration as end:
        return Ended(end.value)


def tries(
    request: Request[_Result], max_tries: int, jitter: Callable[[], float] = random.random
) -> Conversation[_Result]:
    """Send a request until it is answered for good; one that is not repeatable, once. `jitter` is from 0 to 1."""
    for tried in count(1):
        last = tried >= max_tries or not request.repeatable
        pause = _BACKOFF_S * 2 ** (tried - 1) * jitter()
        try:
            answer = yield request
        except ConnectError:
            if last:
                raise
        else:
            wait = _wait_of(answer)
            if last or wait is None or wait > MAX_RETRY_AFTER_S:
                return request.result(answer)
            pause += wait
        yield Pause(pause)
    raise AssertionError("a count does not end")


def _wait_of(answer: Answer) -> float | None:
    """Return the seconds that have to pass before the same request may be sent again; None where it may not."""
    asked = retry_after_s(answer.headers.get("retry-after"))
    if answer.status == 409:
        # The first try with the same idempotency key is still in work; any other conflict names no time.
        return asked
    return (asked or 0.0) if answer.status in _AGAIN else None


def until_ended(
    execution_id: str, timeout_s: float, max_tries: int, now: Callable[[], float] = time.monotonic
) -> Conversation[ExecutionDetails]:
    """Look at an execution until it has ended. Raises WaitTimeoutError."""
    deadline = now() + timeout_s
    pause = _FIRST_LOOK_S
    while True:
        execution = yield from tries(get_execution(execution_id), max_tries)
        if execution.ended:
            return execution
        left = deadline - now()
        if left <= 0:
            raise WaitTimeoutError(
                f"execution {execution_id} is {execution.status} after {timeout_s:g} s, and goes on; "
                "wait again with a greater timeout_s, or look at its log"
            )
        yield Pause(min(pause, left))
        pause = min(pause * 1.5, _LAST_LOOK_S)


class Pages(Generic[_Page, _Row]):
    """Asks for page after page. What has moved from one page to the next, because something was added, comes once."""

    def __init__(
        self, ask: Callable[[int], Request[_Page]], rows: Callable[[_Page], Iterable[_Row]], key: Callable[[_Row], str]
    ) -> None:
        self._ask, self._rows, self._key = ask, rows, key
        self._offset = 0
        self._page_before: frozenset[str] = frozenset()
        self.ended = False

    def request(self) -> Request[_Page]:
        """Return the request for the next page."""
        return self._ask(self._offset)

    def take(self, page: _Page) -> list[_Row]:
        """Return what is new on a page; `ended` is true behind the last one."""
        rows = list(self._rows(page))
        new = [row for row in rows if self._key(row) not in self._page_before]
        self._page_before = frozenset(map(self._key, rows))
        self._offset += len(rows)
        self.ended = len(rows) < page.limit
        return new


def task_pages(page_size: int, filters: TaskFilters) -> Pages[TaskPage, TaskRow]:
    """Return the pages of all tasks that the filters let through."""
    return Pages(
        lambda offset: list_tasks(limit=page_size, offset=offset, **filters),
        lambda page: page.tasks,
        lambda task: task.task_id,
    )


def execution_pages(task_id: str, page_size: int) -> Pages[ExecutionList, Execution]:
    """Return the pages of all executions of a task."""
    return Pages(
        lambda offset: get_executions(task_id, limit=page_size, offset=offset),
        lambda page: page.executions,
        lambda execution: execution.execution_id,
    )
