from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from task_scheduler import (
    ConnectError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceUnavailableError,
    TaskSchedulerError,
    WaitTimeoutError,
)
from task_scheduler._conversation import Ended, Pages, Pause, execution_pages, first_step, next_step, tries, until_ended
from task_scheduler._exchange import Answer, Request
from task_scheduler.api.models import ExecutionList
from task_scheduler.api.operations import delete_task, get_status, list_workers, pause_task, update_task

OK = Answer(status=200, headers={}, body=b'{"workers": [], "total": 0}')

Met = Answer | TaskSchedulerError


def busy(status: int = 503, **headers: str) -> Answer:
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=b"")


def carried_out(conversation: Any, *met: Met) -> tuple[list[float], list[Request[Any]], Any]:
    """Return the pauses, what was sent, and the result, where each request meets the next of `met`."""
    pauses: list[float] = []
    sent: list[Request[Any]] = []
    coming: Iterator[Met] = iter(met)
    step = first_step(conversation)
    while not isinstance(step, Ended):
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            step = next_step(conversation, None)
        else:
            sent.append(step)
            step = next_step(conversation, next(coming))
    return pauses, sent, step.result


@pytest.mark.parametrize("failure", [busy(503), busy(502), busy(504), busy(429), ConnectError("cut")])
def test_what_may_pass_is_tried_again_with_growing_pauses(failure: Met) -> None:
    pauses, sent, result = carried_out(tries(list_workers(), 3, lambda: 1.0), failure, failure, OK)

    assert (pauses, len(sent), result.total) == ([0.25, 0.5], 3, 0)


def test_jitter_shortens_a_pause_to_nothing_at_least() -> None:
    pauses, _, _ = carried_out(tries(list_workers(), 3, lambda: 0.0), busy(), busy(), OK)

    assert pauses == [0.0, 0.0]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(busy(503), ServiceUnavailableError), (busy(429), RateLimitedError), (ConnectError("cut"), ConnectError)],
)
def test_the_last_try_is_the_answer(failure: Met, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        carried_out(tries(list_workers(), 3), failure, failure, failure)


@pytest.mark.parametrize("failure", [busy(500), busy(400), busy(501), RequestTimeoutError("late")])
def test_what_would_not_help_is_not_tried_again(failure: Met) -> None:
    with pytest.raises(TaskSchedulerError):
        carried_out(tries(list_workers(), 3), failure)


@pytest.mark.parametrize("failure", [busy(503), ConnectError("cut")])
def test_a_change_is_sent_once(failure: Met) -> None:
    for request in (update_task("t", priority="low"), delete_task("t")):
        with pytest.raises((ServerError, ConnectError)):
            carried_out(tries(request, 3), failure)


def test_a_post_keeps_its_key_over_its_tries() -> None:
    answer = Answer(status=200, headers={}, body=b'{"task_id": "t", "status": "paused", "paused_at": null}')

    _, sent, _ = carried_out(tries(pause_task("t"), 3), busy(), answer)

    assert len({request.headers["idempotency-key"] for request in sent}) == 1


def test_a_first_try_that_is_still_in_work_is_waited_for() -> None:
    answer = Answer(status=200, headers={}, body=b'{"task_id": "t", "status": "paused", "paused_at": null}')

    pauses, _, _ = carried_out(tries(pause_task("t"), 3, lambda: 0.0), busy(409, retry_after="1"), answer)

    assert pauses == [1.0]


def test_any_other_conflict_is_an_answer() -> None:
    with pytest.raises(TaskSchedulerError, match="409"):
        carried_out(tries(pause_task("t"), 3), busy(409))


def test_retry_after_is_obeyed_and_jitter_comes_on_top() -> None:
    pauses, _, _ = carried_out(tries(list_workers(), 3, lambda: 1.0), busy(retry_after="30"), OK)

    assert pauses == [30.25]


def test_a_longer_retry_after_is_left_to_the_caller() -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        carried_out(tries(list_workers(), 3), busy(retry_after="31"))

    assert caught.value.retry_after == 31


def test_one_try_is_one_try() -> None:
    with pytest.raises(ServiceUnavailableError):
        carried_out(tries(get_status(), 1), busy())


# --- waiting ----------------------------------------------------------------------------------------------------------


def execution(status: str) -> Answer:
    nothing = dict.fromkeys(
        ("task_id", "worker_id", "started_at", "completed_at", "duration_ms", "queued_at", "result")
    )
    state = {"execution_id": "e", "status": status, "retry_number": 0, "is_retry": False, "attempts": []}
    body = nothing | state | {"error": None, "reason": None, "next_attempt_at": None}
    return Answer(status=200, headers={}, body=json.dumps(body).encode())


@pytest.mark.parametrize("status", ["success", "failed", "cancelled", "skipped"])
def test_every_end_is_an_end(status: str) -> None:
    pauses, _, result = carried_out(
        until_ended("e", 60, 3), execution("pending"), execution("running"), execution(status)
    )

    assert (result.status, result.ended, pauses) == (status, True, [0.1, pytest.approx(0.15)])


def test_looks_become_rarer_and_the_last_one_is_at_the_end() -> None:
    now = iter([0.0, *(float(second) for second in range(1, 100))])

    with pytest.raises(WaitTimeoutError, match="execution e is running after 20 s, and goes on; wait again"):
        carried_out(until_ended("e", 20, 3, lambda: next(now)), *[execution("running")] * 30)


def test_what_may_pass_is_waited_through() -> None:
    _, sent, result = carried_out(until_ended("e", 60, 3), busy(), ConnectError("cut"), execution("success"))

    assert (len(sent), result.status) == (3, "success")


# --- pages ------------------------------------------------------------------------------------------------------------


def page(*ids: str, limit: int = 2) -> ExecutionList:
    nothing = dict.fromkeys(("task_id", "worker_id", "started_at", "completed_at", "duration_ms", "queued_at"))
    rows = [nothing | {"execution_id": each, "status": "success", "retry_number": 0} for each in ids]
    body = json.dumps({"executions": rows, "total": 9, "limit": limit, "offset": 0}).encode()
    return execution_pages("t", limit).request().read(Answer(status=200, headers={}, body=body))


def taken(*pages: ExecutionList) -> tuple[list[str], list[str]]:
    reading: Pages[Any, Any] = execution_pages("t", 2)
    found: list[str] = []
    asked: list[str] = []
    for each in pages:
        assert not reading.ended
        asked.append(reading.request().path.rpartition("offset=")[2])
        found += [row.execution_id for row in reading.take(each)]
    assert reading.ended
    return found, asked


def test_pages_are_read_until_one_is_not_full() -> None:
    assert taken(page("a", "b"), page("c", "d"), page("e")) == (["a", "b", "c", "d", "e"], ["0", "2", "4"])


def test_an_empty_page_is_an_end() -> None:
    assert taken(page("a", "b"), page()) == (["a", "b"], ["0", "2"])


def test_a_row_that_has_moved_to_the_next_page_comes_once() -> None:
    assert taken(page("a", "b"), page("b", "c"), page()) == (["a", "b", "c"], ["0", "2", "4"])
