from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.task import Priority
from taskqueue.core.waiting import (
    GLOBAL,
    LAST_PLACE,
    concurrency_limit,
    due_at_place,
    host_limit,
    is_narrower,
    limited_host,
    limited_task,
    queue_limit,
    task_limit,
    waiting_place,
)
from tests.support.values import TEN_O_CLOCK, instants

priorities = st.sampled_from(Priority)
#: the years whose instants a place tells apart
told_apart = instants(1970, 2285)


@given(one=priorities, other=priorities, earlier=instants(), later=instants())
def test_a_higher_priority_comes_first_whatever_was_due_before(
    one: Priority, other: Priority, earlier: datetime, later: datetime
) -> None:
    if one > other:
        assert waiting_place(one, later) < waiting_place(other, earlier)


@given(priority=priorities, one=told_apart, other=told_apart)
def test_within_a_priority_jobs_come_in_due_order(priority: Priority, one: datetime, other: datetime) -> None:
    in_due_order = to_unix_ms(one) <= to_unix_ms(other)
    assert (waiting_place(priority, one) <= waiting_place(priority, other)) == in_due_order


@given(priority=priorities, execute_after=told_apart)
def test_a_place_tells_the_due_instant_to_the_millisecond(priority: Priority, execute_after: datetime) -> None:
    assert due_at_place(waiting_place(priority, execute_after)) == from_unix_ms(to_unix_ms(execute_after))


@given(priority=priorities, execute_after=instants())
def test_every_instant_has_a_place_that_redis_keeps_exactly(priority: Priority, execute_after: datetime) -> None:
    place = waiting_place(priority, execute_after)
    assert 0 <= place <= LAST_PLACE
    assert int(float(place)) == place


def test_the_first_place_is_that_of_a_high_job_of_1970_and_the_last_one_is_low() -> None:
    assert waiting_place(Priority.HIGH, datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert waiting_place(Priority.LOW, datetime(9998, 1, 1, tzinfo=UTC)) == LAST_PLACE


def test_one_millisecond_later_is_one_place_further() -> None:
    later = TEN_O_CLOCK + timedelta(milliseconds=1)
    assert waiting_place(Priority.LOW, later) - waiting_place(Priority.LOW, TEN_O_CLOCK) == 1


@pytest.mark.parametrize(
    ("limit", "name", "task_id"),
    [
        (GLOBAL, "global", None),
        (task_limit("daily.report"), "task:daily.report", "daily.report"),
        (concurrency_limit("daily.report"), "concurrency:daily.report", "daily.report"),
        (queue_limit(Priority.HIGH), "queue:high", None),
        (queue_limit(Priority.LOW), "queue:low", None),
        (host_limit("http://a.b:80"), "host:http%3A%2F%2Fa.b%3A80", None),
    ],
)
def test_the_name_of_a_limit_says_whose_it_is(limit: str, name: str, task_id: str | None) -> None:
    assert limit == name
    assert limited_task(limit) == task_id


def test_the_name_of_a_host_s_limit_leads_back_to_the_host() -> None:
    assert limited_host(host_limit("http://[::1]:80")) == "http://[::1]:80"
    assert limited_host(task_limit("host")) is None


@pytest.mark.parametrize(
    ("limit", "than", "narrower"),
    [
        (task_limit("a"), GLOBAL, True),
        (concurrency_limit("a"), host_limit("http://a:80"), True),
        (host_limit("http://a:80"), GLOBAL, True),
        (host_limit("http://a:80"), queue_limit(Priority.LOW), True),
        (host_limit("http://a:80"), task_limit("a"), False),
        (GLOBAL, queue_limit(Priority.LOW), False),
        (task_limit("a"), concurrency_limit("a"), False),
    ],
)
def test_a_task_is_narrower_than_a_host_and_a_host_than_all(limit: str, than: str, narrower: bool) -> None:
    assert is_narrower(limit, than) is narrower
