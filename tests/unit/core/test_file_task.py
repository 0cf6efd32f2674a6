from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.api_task import MAX_RETRIES, MAX_TIMEOUT_SECONDS, ApiPriority, TaskType
from taskqueue.core.cron import Cron
from taskqueue.core.file_task import FileTaskDefaults, in_slot_order, listed_task, triggered_occurrence
from taskqueue.core.ids import triggered_jobs
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.slots import OrderKeys
from taskqueue.core.task import Interval, Priority, TaskSource
from tests.support.values import TEN_O_CLOCK, a_task

DEFAULTS = FileTaskDefaults(timeout=timedelta(minutes=5), retries=3)
LATER = TEN_O_CLOCK + timedelta(hours=1)


@pytest.mark.parametrize(
    ("interval", "task_type"),
    [
        (Cron(expression="0 9 * * 1-5", timezone="Europe/Berlin"), TaskType.CRON),
        (Every(kind=EveryKind.WEEKLY, value=2, timezone="Asia/Tokyo", weekday=3), TaskType.INTERVAL),
        (Once(at=datetime(2030, 1, 1, tzinfo=UTC)), TaskType.ONE_TIME),
    ],
)
def test_a_task_type_is_listed_with_the_same_schedule(interval: Interval, task_type: TaskType) -> None:
    listed = listed_task(a_task(interval=interval), DEFAULTS, None, TEN_O_CLOCK)
    assert (listed.task_type, listed.source) == (task_type, TaskSource.FILE)
    assert listed.rule() == interval


def test_what_the_task_type_does_not_say_is_the_default() -> None:
    listed = listed_task(a_task(timeout=None, retries=None, priority=Priority.NORMAL), DEFAULTS, None, TEN_O_CLOCK)
    assert (listed.timeout_seconds, listed.max_retries, listed.priority) == (300, 3, ApiPriority.MEDIUM)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (timedelta(milliseconds=1), 1),
        (timedelta(milliseconds=1500), 2),
        (timedelta(hours=1), MAX_TIMEOUT_SECONDS),
    ],
)
def test_a_timeout_is_listed_in_whole_seconds_of_the_range_of_the_api(timeout: timedelta, seconds: int) -> None:
    assert listed_task(a_task(timeout=timeout), DEFAULTS, None, TEN_O_CLOCK).timeout_seconds == seconds


def test_more_retries_than_the_api_knows_are_listed_as_its_most() -> None:
    assert listed_task(a_task(retries=MAX_RETRIES + 1), DEFAULTS, None, TEN_O_CLOCK).max_retries == MAX_RETRIES


def test_a_task_type_without_a_name_is_listed_by_its_id() -> None:
    task = a_task(name="")
    assert listed_task(task, DEFAULTS, None, TEN_O_CLOCK).task_name == task.id


def test_what_has_not_changed_stays_of_its_revision() -> None:
    listed = listed_task(a_task(), DEFAULTS, None, TEN_O_CLOCK)
    assert listed_task(a_task(), DEFAULTS, listed, LATER) is not listed
    assert listed_task(a_task(), DEFAULTS, listed, LATER) == listed


def test_what_has_changed_is_of_the_revision_that_follows() -> None:
    listed = listed_task(a_task(), DEFAULTS, None, TEN_O_CLOCK)
    changed = listed_task(a_task(enabled=False), DEFAULTS, listed, LATER)
    assert changed == replace(listed, enabled=False, updated_at=LATER, revision=2)


def test_a_trigger_is_an_occurrence_whose_jobs_follow_from_its_id() -> None:
    occurrence = triggered_occurrence("daily_report", "t-1", 2, TEN_O_CLOCK, correlation_id="r-1")
    assert occurrence.job_id("u") == triggered_jobs("daily_report", "t-1")("u")
    assert (occurrence.window, occurrence.distributed) == (timedelta(0), False)
    assert (occurrence.starts_at, occurrence.users, occurrence.correlation_id) == (TEN_O_CLOCK, 2, "r-1")


def test_users_stand_in_the_order_of_their_slots() -> None:
    users = [f"user-{number}" for number in range(20)]
    key_of = OrderKeys("daily_report")
    assert in_slot_order("daily_report", users) == sorted(users, key=lambda user: (key_of(user), user))
