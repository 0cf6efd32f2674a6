from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from task_scheduler._conversation import (
    Bounds,
    Ended,
    Pages,
    Pause,
    Try,
    execution_pages,
    first_step,
    next_step,
    task_pages,
    tries,
    until_ended,
)
from task_scheduler._decoding import decode
from task_scheduler._exchange import Answer, Request
from task_scheduler.api.models import ExecutionList, TaskPage
from task_scheduler.api.operations import delete_task, get_status, list_workers, pause_task, update_task

OK = Answer(status=200, headers={}, body=b'{"workers": [], "total": 0}')

Met = Answer | TaskSchedulerError


def busy(status: int = 503, **headers: str) -> Answer:
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=b"")


class Clock:
    """Goes on by `step` seconds with each look at it, and by each pause that is carried out."""

    def __init__(self, step: float = 0.0) -> None:
        self.at = 0.0
        self.step = step

    def __call__(self) -> float:
        self.at += self.step
        return self.at


def bounds(
    timeout_s: float = 60.0,
    max_tries: int = 3,
    jitter: Callable[[], float] = lambda: 0.0,
    now: Callable[[], float] = lambda: 0.0,
) -> Bounds:
    return Bounds(timeout_s=timeout_s, max_tries=max_tries, jitter=jitter, now=now)


def carried_out(
    conversation: Any, *met: Met, clock: Clock | None = None
) -> tuple[list[float], list[Request[Any]], Any]:
    """Return the pauses, what was sent, and the result, where each request meets the next of `met`."""
    pauses: list[float] = []
    sent: list[Request[Any]] = []
    coming: Iterator[Met] = iter(met)
    step = first_step(conversation)
    while not isinstance(step, Ended):
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            if clock is not None:
                clock.at += step.seconds
            step = next_step(conversation, None)
        else:
            sent.append(step.request)
            step = next_step(conversation, next(coming))
    return pauses, sent, step.result


@pytest.mark.parametrize("failure", [busy(503), busy(502), busy(504), busy(429), ConnectError("cut")])
def test_what_may_pass_is_tried_again_with_growing_pauses(failure: Met) -> None:
    pauses, sent, result = carried_out(tries(list_workers(), bounds(jitter=lambda: 1.0)), failure, failure, OK)

    assert (pauses, len(sent), result.total) == ([0.25, 0.5], 3, 0)


def test_jitter_shortens_a_pause_to_nothing_at_least() -> None:
    pauses, _, _ = carried_out(tries(list_workers(), bounds(jitter=lambda: 0.0)), busy(), busy(), OK)

    assert pauses == [0.0, 0.0]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(busy(503), ServiceUnavailableError), (busy(429), RateLimitedError), (ConnectError("cut"), ConnectError)],
)
def test_the_last_try_is_the_answer(failure: Met, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        carried_out(tries(list_workers(), bounds()), failure, failure, failure)


@pytest.mark.parametrize("failure", [busy(500), busy(400), busy(501), RequestTimeoutError("late")])
def test_what_would_not_help_is_not_tried_again(failure: Met) -> None:
    with pytest.raises(TaskSchedulerError):
        carried_out(tries(list_workers(), bounds()), failure)


@pytest.mark.parametrize("failure", [busy(503), ConnectError("cut")])
def test_a_change_is_sent_once(failure: Met) -> None:
    for request in (update_task("t", priority="low"), delete_task("t")):
        with pytest.raises((ServerError, ConnectError)):
            carried_out(tries(request, bounds()), failure)


def test_a_post_keeps_its_key_over_its_tries() -> None:
    answer = Answer(status=200, headers={}, body=b'{"task_id": "t", "status": "paused", "paused_at": null}')

    _, sent, _ = carried_out(tries(pause_task("t"), bounds()), busy(), answer)

    assert len({request.headers["idempotency-key"] for request in sent}) == 1


def test_a_first_try_that_is_still_in_work_is_waited_for() -> None:
    answer = Answer(status=200, headers={}, body=b'{"task_id": "t", "status": "paused", "paused_at": null}')

    pauses, _, _ = carried_out(tries(pause_task("t"), bounds(jitter=lambda: 0.0)), busy(409, retry_after="1"), answer)

    assert pauses == [1.0]


def test_any_other_conflict_is_an_answer() -> None:
    with pytest.raises(TaskSchedulerError, match="409"):
        carried_out(tries(pause_task("t"), bounds()), busy(409))


def test_retry_after_is_obeyed_and_jitter_comes_on_top() -> None:
    pauses, _, _ = carried_out(tries(list_workers(), bounds(jitter=lambda: 1.0)), busy(retry_after="30"), OK)

    assert pauses == [30.25]


def test_a_longer_retry_after_is_left_to_the_caller() -> None:
    with pytest.raises(ServiceUnavailableError) as caught:
        carried_out(tries(list_workers(), bounds()), busy(retry_after="31"))

    assert caught.value.retry_after == 31


def test_one_try_is_one_try() -> None:
    with pytest.raises(ServiceUnavailableError):
        carried_out(tries(get_status(), bounds(max_tries=1)), busy())


def test_all_tries_and_pauses_of_a_call_have_one_time_out() -> None:
    clock = Clock(step=1.0)
    step = first_step(conversation := tries(list_workers(), bounds(timeout_s=10, now=clock)))
    lefts = []
    for _ in range(2):
        assert isinstance(step, Try)
        lefts.append(step.left_s)
        assert isinstance(next_step(conversation, busy()), Pause)
        step = next_step(conversation, None)

    assert isinstance(step, Try)
    assert lefts == [9, 7]
    assert (step.left_s, step.timeout_s) == (5, 10)


@pytest.mark.parametrize(
    ("failure", "raised"), [(busy(retry_after="8"), ServiceUnavailableError), (ConnectError("cut"), ConnectError)]
)
def test_a_pause_that_would_go_beyond_the_time_out_is_not_begun(failure: Met, raised: type[Exception]) -> None:
    clock = Clock(step=3.0)

    with pytest.raises(raised):
        carried_out(tries(list_workers(), bounds(timeout_s=8.9, jitter=lambda: 12.0, now=clock)), failure)


# --- waiting ----------------------------------------------------------------------------------------------------------


def execution(status: str, completed_at: str | None = None) -> Answer:
    nothing = dict.fromkeys(
        ("task_id", "worker_id", "started_at", "completed_at", "duration_ms", "queued_at", "result")
    )
    state = {"execution_id": "e", "status": status, "retry_number": 0, "is_retry": False, "attempts": []}
    body = nothing | state | {"error": None, "reason": None, "next_attempt_at": None, "completed_at": completed_at}
    return Answer(status=200, headers={}, body=json.dumps(body).encode())


@pytest.mark.parametrize("status", ["success", "failed", "cancelled", "skipped"])
def test_every_end_is_an_end(status: str) -> None:
    pauses, _, result = carried_out(
        until_ended("e", 60, bounds()), execution("pending"), execution("running"), execution(status)
    )

    assert (result.status, result.ended, pauses) == (status, True, [0.1, pytest.approx(0.15)])


def test_an_end_that_a_newer_api_has_another_word_for_is_an_end() -> None:
    _, _, result = carried_out(until_ended("e", 60, bounds()), execution("archived", "2026-01-08T05:00:00Z"))

    assert (result.status, result.ended) == ("archived", True)


def test_looks_become_rarer_and_the_last_one_is_at_the_end() -> None:
    clock = Clock()

    with pytest.raises(WaitTimeoutError, match="execution e is running after 20 s, and goes on; wait again") as caught:
        carried_out(until_ended("e", 20, bounds(now=clock)), *[execution("running")] * 30, clock=clock)

    assert clock.at == pytest.approx(20)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "failure",
    [ConnectError("cut"), RequestTimeoutError("late"), *map(busy, (429, 502, 503, 504))],
    ids=["cut", "late", "429", "502", "503", "504"],
)
def test_what_may_pass_is_waited_through_and_named_at_the_end(failure: Met) -> None:
    clock = Clock()

    _, sent, result = carried_out(until_ended("e", 60, bounds()), *[failure] * 9, execution("success"))
    with pytest.raises(WaitTimeoutError, match=r"\(the last look failed: .*(cut|late|HTTP 4|HTTP 5)") as caught:
        carried_out(until_ended("e", 5, bounds(now=clock)), *[failure] * 30, clock=clock)

    assert (len(sent), result.status) == (10, "success")
    assert isinstance(caught.value.__cause__, TaskSchedulerError)
    assert clock.at == pytest.approx(5)


def test_a_pause_that_is_asked_for_is_cut_at_the_end_of_the_wait() -> None:
    pauses, _, _ = carried_out(until_ended("e", 4, bounds()), busy(retry_after="3600"), execution("success"))

    assert pauses == [4]


@pytest.mark.parametrize("status", [404, 401, 500])
def test_what_does_not_pass_ends_the_wait_at_once(status: int) -> None:
    with pytest.raises(TaskSchedulerError, match=str(status)):
        carried_out(until_ended("e", 60, bounds()), busy(status))


def test_a_look_takes_no_longer_than_is_left_of_the_wait() -> None:
    first = first_step(until_ended("e", 4, bounds(timeout_s=30)))
    without_time = first_step(until_ended("e", 0, bounds(timeout_s=30)))

    assert isinstance(first, Try)
    assert isinstance(without_time, Try)
    assert (first.left_s, without_time.left_s) == (4, 1)


@pytest.mark.parametrize("timeout_s", [-1, float("nan")])
def test_a_wait_for_no_time_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be 0 or more"):
        first_step(until_ended("e", timeout_s, bounds()))


# --- pages ------------------------------------------------------------------------------------------------------------


def page(*ids: str, total: int, limit: int = 2) -> ExecutionList:
    nothing = dict.fromkeys(("task_id", "worker_id", "started_at", "completed_at", "duration_ms", "queued_at"))
    rows = [nothing | {"execution_id": each, "status": "success", "retry_number": 0} for each in ids]
    body = json.dumps({"executions": rows, "total": total, "limit": limit, "offset": 0}).encode()
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
    reading.check_complete()
    return found, asked


def test_pages_are_read_until_all_that_there_are_were_asked_for() -> None:
    found, asked = taken(page("a", "b", total=5), page("c", "d", total=5), page("e", total=5))

    assert (found, asked) == (["a", "b", "c", "d", "e"], ["0", "2", "4"])


def test_a_full_page_may_be_the_last_one() -> None:
    assert taken(page("a", "b", total=4), page("c", "d", total=4)) == (["a", "b", "c", "d"], ["0", "2"])


def test_nothing_is_one_page() -> None:
    assert taken(page(total=0)) == ([], ["0"])


def test_a_page_from_which_something_is_missing_is_no_end() -> None:
    found, asked = taken(page("a", total=7), page(total=7), page("e", "f", total=7), page("g", total=7))

    assert (found, asked) == (["a", "e", "f", "g"], ["0", "2", "4", "6"])


def test_the_newest_page_says_how_many_there_are() -> None:
    assert taken(page("a", "b", total=9), page("c", total=3)) == (["a", "b", "c"], ["0", "2"])


def test_a_row_that_has_moved_to_the_next_page_comes_once() -> None:
    found, asked = taken(page("a", "b", total=3), page("b", "c", total=4))

    assert (found, asked) == (["a", "b", "c"], ["0", "2"])


def test_a_list_that_may_go_on_is_no_whole_list() -> None:
    reading = task_pages(2, {})
    body = {"tasks": [], "total": 0, "limit": 2, "offset": 0, "total_is_exact": False}

    assert reading.take(decode(TaskPage, json.dumps(body).encode(), {})) == []

    with pytest.raises(TaskSchedulerError, match="only the latest 10,000 candidates were looked at; use one filter"):
        reading.check_complete()


@pytest.mark.parametrize("page_size", [0, -1])
def test_pages_of_nothing_are_refused(page_size: int) -> None:
    with pytest.raises(ValueError, match="page_size must be at least 1"):
        task_pages(page_size, {})
