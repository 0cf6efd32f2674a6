"""What is sent in which order, without a network: tries, waits between them, pages, and waiting for an end.

A conversation is a generator. It yields a Try, and gets the Answer or has the error thrown into it; or it yields a
Pause. The two clients differ only in how they carry that out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from task_scheduler._exchange import Answer, Request, retry_after_s
from task_scheduler.api.models import Execution, ExecutionDetails, ExecutionList, TaskPage, TaskRow
from task_scheduler.api.operations import TaskFilters, get_execution, get_executions, list_tasks
from task_scheduler.errors import (
    ApiError,
    ConnectError,
    RequestTimeoutError,
    TaskSchedulerError,
    WaitTimeoutError,
)

#: seconds of the longest first pause; each one that follows may take twice as long
_BACKOFF_S = 0.25

#: the longest Retry-After that is waited for by itself; what asks for more is for the caller to decide
MAX_RETRY_AFTER_S = 30.0

#: seconds between two looks at an execution: at first, and at most
_FIRST_LOOK_S = 0.1
_LAST_LOOK_S = 2.0

#: seconds that a look may take at least, also the one at the end of the wait
_LOOK_WITHIN_S = 1.0

_AGAIN = frozenset({429, 502, 503, 504})

_Result = TypeVar("_Result")
_Row = TypeVar("_Row")
_Page = TypeVar("_Page", bound=TaskPage | ExecutionList)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a call may take: seconds over all its tries and the pauses between them, and how many tries.

    `jitter` gives numbers from 0 to 1, `now` the seconds of a clock that does not go back.
    """

    timeout_s: float
    max_tries: int
    jitter: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A request is sent, and is to be answered within `left_s`; its call has had `timeout_s` seconds in all."""

    request: Request[Any]
    left_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended(Generic[_Result]):
    """Nothing is left to do."""

    result: _Result


Step: TypeAlias = Try | Pause
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


def tries(request: Request[_Result], bounds: Bounds) -> Conversation[_Result]:
    """Send a request until it is answered for good or no time is left; one that is not repeatable, once."""
    deadline = bounds.now() + bounds.timeout_s
    most = bounds.max_tries if request.repeatable else 1
    for tried in count(1):
        pause = _BACKOFF_S * 2 ** (tried - 1) * bounds.jitter()
        try:
            answer = yield Try(request=request, left_s=max(0.0, deadline - bounds.now()), timeout_s=bounds.timeout_s)
        except ConnectError:
            if tried >= most or pause >= deadline - bounds.now():
                raise
        else:
            wait = _wait_of(answer)
            if tried >= most or wait is None or wait > MAX_RETRY_AFTER_S or wait + pause >= deadline - bounds.now():
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


def until_ended(execution_id: str, timeout_s: float, bounds: Bounds) -> Conversation[ExecutionDetails]:
    """Look at an execution until it has ended; a look that fails, and may not fail again, is no end.

    Raises WaitTimeoutError, whose cause is the error of the last look where that failed.
    """
    if not timeout_s >= 0:
        raise ValueError("timeout_s must be 0 or more")
    deadline = bounds.now() + timeout_s
    pause = _FIRST_LOOK_S
    state = "in an unknown state"
    while True:
        left = max(deadline - bounds.now(), _LOOK_WITHIN_S)
        look = replace(bounds, timeout_s=min(bounds.timeout_s, left), max_tries=1)
        failure: TaskSchedulerError | None = None
        try:
            execution = yield from tries(get_execution(execution_id), look)
        except TaskSchedulerError as error:
            if not _may_pass(error):
                raise
            failure = error
        else:
            if execution.ended:
                return execution
            state = execution.status
        left = deadline - bounds.now()
        if left <= 0:
            raise _not_ended(execution_id, state, timeout_s, failure) from failure
        yield Pause(min(max(pause, _asked_s(failure)), left))
        pause = min(pause * 1.5, _LAST_LOOK_S)


def _may_pass(error: TaskSchedulerError) -> bool:
    return isinstance(error, ConnectError | RequestTimeoutError) or (
        isinstance(error, ApiError) and error.status in _AGAIN
    )


def _asked_s(failure: TaskSchedulerError | None) -> float:
    return (failure.retry_after or 0.0) if isinstance(failure, ApiError) else 0.0


def _not_ended(execution_id: str, state: str, timeout_s: float, failure: TaskSchedulerError | None) -> WaitTimeoutError:
    why = "" if failure is None else f" (the last look failed: {failure})"
    return WaitTimeoutError(
        f"execution {execution_id} is {state} after {timeout_s:g} s, and goes on{why}; "
        "wait again with a greater timeout_s, or look at its log"
    )


class Pages(Generic[_Page, _Row]):
    """Asks for page after page. What has moved from one page to the next, because something was added, comes once.

    The next page begins `page_size` further, however many rows the last one had: the API leaves out of a page what
    it cannot read. Raises ValueError for a page of nothing.
    """

    def __init__(
        self,
        page_size: int,
        ask: Callable[[int], Request[_Page]],
        rows: Callable[[_Page], Iterable[_Row]],
        key: Callable[[_Row], str],
    ) -> None:
        if page_size < 1:
            raise ValueError("page_size must be at least 1")
        self._page_size, self._ask, self._rows, self._key = page_size, ask, rows, key
        self._offset = 0
        self._page_before: frozenset[str] = frozenset()
        self._complete = True
        self.ended = False

    def request(self) -> Request[_Page]:
        """Return the request for the next page."""
        return self._ask(self._offset)

    def take(self, page: _Page) -> list[_Row]:
        """Return what is new on a page; `ended` is true behind the last one."""
        rows = list(self._rows(page))
        new = [row for row in rows if self._key(row) not in self._page_before]
        self._page_before = frozenset(map(self._key, rows))
        self._offset += self._page_size
        self._complete = self._complete and (not isinstance(page, TaskPage) or page.total_is_exact)
        self.ended = self._offset >= page.total
        return new

    def check_complete(self) -> None:
        """Raise TaskSchedulerError where there may be rows behind the last page."""
        if not self._complete:
            raise TaskSchedulerError(
                "there may be more tasks than these: only the latest 10,000 candidates were looked at; "
                "use one filter alone, and look at the rest of what it has to be in your program"
            )


def task_pages(page_size: int, filters: TaskFilters) -> Pages[TaskPage, TaskRow]:
    """Return the pages of all tasks that the filters let through."""
    return Pages(
        page_size,
        lambda offset: list_tasks(limit=page_size, offset=offset, **filters),
        lambda page: page.tasks,
        lambda task: task.task_id,
    )


def execution_pages(task_id: str, page_size: int) -> Pages[ExecutionList, Execution]:
    """Return the pages of all executions of a task."""
    return Pages(
        page_size,
        lambda offset: get_executions(task_id, limit=page_size, offset=offset),
        lambda page: page.executions,
        lambda execution: execution.execution_id,
    )
