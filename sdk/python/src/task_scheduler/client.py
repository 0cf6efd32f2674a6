"""The client that blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import copy
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx

from task_scheduler._conversation import (
    Bounds,
    Conversation,
    Ended,
    Pages,
    Pause,
    Step,
    Try,
    execution_pages,
    first_step,
    next_step,
    task_pages,
    tries,
    until_ended,
)
from task_scheduler._exchange import Answer, Request
from task_scheduler._failures import FOREIGN, as_ours, too_much
from task_scheduler._settings import MAX_ANSWER, Settings, as_method
from task_scheduler._transport import DeadlineTransport, deadline_in
from task_scheduler.api import operations
from task_scheduler.api.models import Execution, ExecutionDetails, ExecutionList, TaskPage, TaskRow
from task_scheduler.api.operations import TaskFilters
from task_scheduler.errors import TaskSchedulerError

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Row = TypeVar("_Row")
_Page = TypeVar("_Page", bound=TaskPage | ExecutionList)


def _sent(
    build: Callable[_Given, Request[_Result]],
) -> Callable[Concatenate[TaskSchedulerClient, _Given], _Result]:
    """Return a method that sends the request which `build` makes of its arguments."""

    @wraps(build)
    def method(self: TaskSchedulerClient, /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        return self._run(tries(build(*args, **kwargs), self._bounds()))

    vars(method)["__signature__"] = as_method(build)
    return method


class TaskSchedulerClient:
    """Calls the API, and waits for each answer. Threads may share one; use it as a context, or close it.

        with TaskSchedulerClient(base_url="https://api.example.com", api_key="tq_…") as client:
            task = client.create_task(task_name="report", task_type="cron", schedule_expression="0 0 * * *")

    `timeout_s` bounds a call as a whole, with all its tries and the pauses between them, `connect_timeout_s` each
    connection. A GET, and a POST, which has an idempotency key, is tried `max_tries` times where the connection fails
    or the API is busy (429, 502, 503, 504, or 409 while a try is still in work). Up to 100 calls may be under way at
    once. `transport` replaces that of the SDK; a try may take longer then, for its time-outs are for each step. Raises
    ValueError for settings that cannot be used, and subclasses of TaskSchedulerError from each method.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 10.0,
        max_tries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = Settings(
            base_url=base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            max_tries=max_tries,
        )
        self._http = httpx.Client(transport=transport or DeadlineTransport(self._settings.proxy()), trust_env=False)

    create_task = _sent(operations.create_task)
    get_task = _sent(operations.get_task)
    list_tasks = _sent(operations.list_tasks)
    update_task = _sent(operations.update_task)
    delete_task = _sent(operations.delete_task)
    pause_task = _sent(operations.pause_task)
    resume_task = _sent(operations.resume_task)
    trigger_task = _sent(operations.trigger_task)
    create_tasks = _sent(operations.create_tasks)
    delete_tasks = _sent(operations.delete_tasks)
    get_task_stats = _sent(operations.get_task_stats)
    explain_task = _sent(operations.explain_task)
    add_dependency = _sent(operations.add_dependency)
    list_dependencies = _sent(operations.list_dependencies)
    remove_dependency = _sent(operations.remove_dependency)
    get_executions = _sent(operations.get_executions)
    get_execution = _sent(operations.get_execution)
    get_execution_logs = _sent(operations.get_execution_logs)
    append_execution_logs = _sent(operations.append_execution_logs)
    cancel_execution = _sent(operations.cancel_execution)
    get_status = _sent(operations.get_status)
    list_workers = _sent(operations.list_workers)
    get_audit_log = _sent(operations.get_audit_log)

    def wait_for_execution(self, execution_id: str, *, timeout_s: float = 300.0) -> ExecutionDetails:
        """Return an execution once it has ended, in success or not. Raises WaitTimeoutError; it goes on then.

        A connection that fails, no answer in time, 429, 502, 503 and 504 are waited through: the last of them is in
        the message of WaitTimeoutError, and its cause. Other errors come at once.
        """
        return self._run(until_ended(execution_id, timeout_s, self._bounds()))

    def iterate_tasks(self, *, page_size: int = 100, **filters: Unpack[TaskFilters]) -> Iterator[TaskRow]:
        """Yield all tasks that the filters let through, the latest first, page by page.

        Make a list of them before you delete or change any: what leaves the filters meanwhile makes others be skipped.
        What is added meanwhile may not come. Raises TaskSchedulerError behind the last one where the API has looked at
        the latest 10,000 candidates only: use one filter alone then.
        """
        return self._rows(task_pages(page_size, filters))

    def iterate_executions(self, task_id: str, *, page_size: int = 100) -> Iterator[Execution]:
        """Yield all executions of a task that are kept, the latest first, page by page, as `iterate_tasks` does."""
        return self._rows(execution_pages(task_id, page_size))

    def with_options(
        self, *, timeout_s: float | None = None, connect_timeout_s: float | None = None, max_tries: int | None = None
    ) -> Self:
        """Return a client with other settings on the same connections, such as for one call; close the first only."""
        other = copy(self)
        vars(other)["_settings"] = self._settings.changed(timeout_s, connect_timeout_s, max_tries)
        return other

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._settings.base_url!r})"

    # --- the network --------------------------------------------------------------------------------------------------

    def _rows(self, pages: Pages[_Page, _Row]) -> Iterator[_Row]:
        while not pages.ended:
            yield from pages.take(self._run(tries(pages.request(), self._bounds())))
        pages.check_complete()

    def _bounds(self) -> Bounds:
        return Bounds(timeout_s=self._settings.timeout_s, max_tries=self._settings.max_tries)

    def _run(self, conversation: Conversation[_Result]) -> _Result:
        step = first_step(conversation)
        while not isinstance(step, Ended):
            step = next_step(conversation, self._carried_out(step))
        return step.result

    def _carried_out(self, step: Step) -> Answer | TaskSchedulerError | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return self._exchange(step)
        except TaskSchedulerError as error:
            return error
        except FOREIGN as error:
            return as_ours(error, step, self._settings)

    def _exchange(self, step: Try) -> Answer:
        request = step.request
        with (
            deadline_in(step.left_s),
            self._http.stream(
                request.method,
                self._settings.url(request),
                headers=self._settings.headers(request),
                content=request.body,
                timeout=self._settings.timeouts(step.left_s),
            ) as response,
        ):
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise too_much(request.name, MAX_ANSWER)
            return self._settings.answer(response.status_code, dict(response.headers), bytes(body))
