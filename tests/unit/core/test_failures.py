from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.codec import encode_message
from taskqueue.core.failures import Choice, Failure, FailureGroups, read_failure
from tests.support.values import TEN_O_CLOCK, a_message

HEADERS = {
    "taskqueue-reason": "retries_exhausted",
    "taskqueue-error-code": "http_500",
    "taskqueue-error-message": "the endpoint answered 500",
    "taskqueue-attempts": 3,
    "taskqueue-failed-at": "2024-01-15T10:00:00Z",
    "taskqueue-queue": "taskqueue.jobs.low",
    "taskqueue-host": "https://api.example.com:443",
    "taskqueue-outcomes": '[{"attempt":3,"at":"2024-01-15T10:00:00Z","status":500}]',
}
BODY = encode_message(a_message())

amqp_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.binary(max_size=40) | st.datetimes(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=10), values, max_size=3),
    max_leaves=8,
)


def a_failure(**changes: object) -> Failure:
    return replace(read_failure(BODY, "m", HEADERS), **changes)


def test_a_workers_message_says_everything() -> None:
    failure = read_failure(BODY, "other-id", HEADERS)

    assert (failure.job_id, failure.task_id, failure.user_id) == (a_message().job.id, "daily_report", "user_12345")
    assert (failure.reason, failure.code, failure.attempts, failure.queue) == (
        "retries_exhausted",
        "http_500",
        3,
        "taskqueue.jobs.low",
    )
    assert failure.failed_at == TEN_O_CLOCK
    assert failure.outcomes == ({"attempt": 3, "at": "2024-01-15T10:00:00Z", "status": 500},)


@pytest.mark.parametrize("attempts", [True, 3.0, "3", None])
def test_attempts_that_are_no_number_are_not_known(attempts: object) -> None:
    assert read_failure(BODY, None, HEADERS | {"taskqueue-attempts": attempts}).attempts is None


def test_a_message_that_the_broker_gave_up_says_where_and_when() -> None:
    deaths = [
        {
            "reason": "delivery_limit",
            "queue": "taskqueue.jobs.high",
            "time": TEN_O_CLOCK.replace(tzinfo=None),
            "count": 1,
        }
    ]

    failure = read_failure(BODY, None, {"x-death": deaths})

    assert (failure.reason, failure.code, failure.queue) == ("delivery_limit", "delivery_limit", "taskqueue.jobs.high")
    assert failure.failed_at == datetime(2024, 1, 15, 10, tzinfo=UTC)


def test_having_come_through_the_delayed_queue_is_no_failure() -> None:
    failure = read_failure(BODY, None, {"x-death": [{"reason": "expired", "queue": "taskqueue.jobs.delayed"}]})

    assert (failure.reason, failure.failed_at) == ("", None)


@given(
    st.dictionaries(st.sampled_from([*HEADERS, "x-death"]), amqp_values, max_size=8),
    st.binary(max_size=60) | st.just(BODY),
)
def test_no_message_of_anybody_is_too_strange_to_be_read(headers: dict[str, object], body: bytes) -> None:
    failure = read_failure(body, None, headers)

    assert len(failure.fingerprint) == 10
    json.dumps(failure.as_dict())
    Choice(fingerprints={"x"}, since=TEN_O_CLOCK).takes(failure)


def test_a_message_that_is_no_job_says_why() -> None:
    failure = read_failure(b"\xff", "foreign", {})

    assert (failure.message, failure.job_id) == (None, "foreign")
    assert failure.problem.startswith("malformed: ")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("user 17 is unknown", "user 23456 is unknown", True),
        ("no order 550e8400-e29b-41d4-a716-446655440000", "no order 650e8400-e29b-41d4-a716-446655440fff", True),
        ("trace 0af7651916cd43dd", "trace bb8448eb211c80319c", True),
        ("connection refused", "connection reset", False),
        ("defaced facade", "decade facade", False),
    ],
)
def test_errors_that_differ_in_ids_alone_are_of_one_kind(one: str, other: str, same: bool) -> None:
    assert (a_failure(detail=one).fingerprint == a_failure(detail=other).fingerprint) is same


@pytest.mark.parametrize("changes", [{"task_id": "x"}, {"host": "x"}, {"code": "x"}])
def test_other_tasks_hosts_and_codes_are_other_kinds(changes: dict[str, object]) -> None:
    assert a_failure(**changes).fingerprint != a_failure().fingerprint


def test_two_failures_of_a_job_have_two_identities() -> None:
    later = read_failure(BODY, "m", {**HEADERS, "taskqueue-failed-at": "2024-01-15T10:00:01Z"})

    assert a_failure().identity == a_failure().identity != later.identity
    assert read_failure(b"1", None, {}).identity != read_failure(b"2", None, {}).identity


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), True),
        (Choice(tasks={"daily_report", "x"}), True),
        (Choice(tasks={"daily_report"}, users={"x"}), False),
        (Choice(hosts={"api.example.com"}), True),
        (Choice(hosts={"api.example.com:443"}), True),
        (Choice(hosts={"https://api.example.com:443"}), True),
        (Choice(hosts={"example.com"}), False),
        (Choice(since=TEN_O_CLOCK, until=TEN_O_CLOCK), True),
        (Choice(since=TEN_O_CLOCK + timedelta(seconds=1)), False),
        (Choice(until=TEN_O_CLOCK - timedelta(seconds=1)), False),
    ],
)
def test_a_choice_takes_what_is_in_each_of_its_sets(choice: Choice, taken: bool) -> None:
    assert choice.takes(a_failure()) is taken


def test_a_failure_of_unknown_time_lies_in_no_time() -> None:
    assert not Choice(until=TEN_O_CLOCK).takes(a_failure(failed_at=None))
    assert Choice().takes(a_failure(failed_at=None))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50)), max_size=40))
def test_groups_count_every_failure_once(found: list[tuple[str, int]]) -> None:
    groups = FailureGroups(most=3)
    for code, minute in found:
        groups.add(a_failure(code=code, failed_at=TEN_O_CLOCK + timedelta(minutes=minute)))

    largest_first = groups.largest_first()

    assert groups.total == len(found) == sum(group.count for group in largest_first) + groups.others
    assert [group.count for group in largest_first] == sorted((group.count for group in largest_first), reverse=True)
    for group in largest_first:
        times = [TEN_O_CLOCK + timedelta(minutes=minute) for code, minute in found if code == group.example.code]
        assert (group.oldest, group.newest, group.example.failed_at) == (min(times), max(times), max(times))


def test_the_example_of_a_kind_keeps_no_job_in_memory() -> None:
    groups = FailureGroups()
    for at in (None, TEN_O_CLOCK):
        groups.add(a_failure(failed_at=at))

    (group,) = groups.largest_first()
    assert group.example.message is None
    assert group.example.job_id == a_message().job.id
