from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.wait import WaitReason, WaitRecord, waits_of
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, a_wait, an_attempt

SECOND = timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return TEN_O_CLOCK + seconds * SECOND


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("global", WaitReason.LIMIT), ("task:a", WaitReason.LIMIT), ("host:http%3A%2F%2Fa%3A80", WaitReason.HOST)],
)
def test_a_limit_says_what_kind_of_wait_it_was(limit: str, reason: WaitReason) -> None:
    assert a_wait(limit).reason is reason


@pytest.mark.parametrize(
    "record",
    [a_wait("task:a", attempt=3), WaitRecord(since=TEN_O_CLOCK, attempt=1, reason=WaitReason.EARLY)],
    ids=["limit", "early"],
)
def test_a_record_is_read_back_as_it_was_written(record: WaitRecord) -> None:
    assert WaitRecord.from_json(record.to_json().encode()) == record


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"{}", b'{"since":1,"attempt":1}', b'{"since":1,"attempt":1,"reason":"retry"}',
     b'{"since":1e99,"attempt":1,"reason":"early"}', b"\xff"],
)  # fmt: skip
def test_what_another_hand_wrote_is_no_record(text: bytes) -> None:
    with pytest.raises(InvalidValueError):
        WaitRecord.from_json(text)


@pytest.mark.parametrize("reason", [WaitReason.LIMIT, WaitReason.HOST, WaitReason.RETRY])
def test_a_wait_for_a_limit_needs_its_name(reason: WaitReason) -> None:
    with pytest.raises(InvalidValueError, match="the limit is missing"):
        WaitRecord(since=TEN_O_CLOCK, attempt=1, reason=reason)


def test_a_wait_lasts_until_the_attempt_begins() -> None:
    attempt = an_attempt(started_at=at(5), completed_at=at(6), next_attempt=None)

    (wait,) = waits_of([a_wait()], [attempt], claimed_at=None, ended_at=at(6))

    assert wait.until == at(5)
    assert wait.as_dict(TEN_O_CLOCK)["duration_ms"] == 5000


def test_a_failed_attempt_that_another_one_follows_begins_a_wait() -> None:
    first = an_attempt(attempt=1, started_at=at(0), completed_at=at(1), next_attempt=at(3))
    second = an_attempt(attempt=2, started_at=at(4), completed_at=at(5), next_attempt=None)

    (wait,) = waits_of([], [first, second], claimed_at=None, ended_at=at(5))

    assert (wait.reason, wait.attempt, wait.since, wait.until) == (WaitReason.RETRY, 2, at(1), at(4))


def test_a_wait_that_another_one_follows_ends_with_it() -> None:
    waits = waits_of([a_wait("global"), a_wait("task:a", since=at(2))], [], claimed_at=None, ended_at=None)

    assert [(wait.limit, wait.until) for wait in waits] == [("global", at(2)), ("task:a", None)]


def test_a_wait_that_goes_on_has_lasted_until_now() -> None:
    (wait,) = waits_of([a_wait()], [], claimed_at=None, ended_at=None)

    assert wait.as_dict(at(7))["duration_ms"] == 7000


def test_a_job_that_runs_now_waits_no_more() -> None:
    (wait,) = waits_of([a_wait()], [], claimed_at=at(9), ended_at=None)

    assert wait.until == at(9)


@settings(max_examples=100)
@given(since=st.lists(st.integers(0, 100), max_size=8), starts=st.lists(st.integers(0, 100), max_size=4))
def test_waits_come_in_order_and_end_behind_their_beginning(since: list[int], starts: list[int]) -> None:
    attempts = [
        an_attempt(attempt=number, started_at=at(start), completed_at=at(start), next_attempt=None)
        for number, start in enumerate(sorted(starts), start=1)
    ]

    waits = waits_of([a_wait(since=at(each)) for each in since], attempts, claimed_at=None, ended_at=None)

    assert [wait.since for wait in waits] == [at(each) for each in sorted(since)]
    assert all(wait.until is None or wait.until > wait.since for wait in waits)
