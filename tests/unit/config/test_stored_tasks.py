from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.catalog import (
    load_catalog,
    task_from_json,
    task_to_json,
)
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import CatchUp, Priority, Target, Task, TaskSource
from taskqueue.errors import InvalidValueError
from tests.support.values import instants

SPEC_FILE = Path(__file__).parents[2] / "contract" / "spec" / "tasks.yaml"

dsts = st.builds(Dst, gap=st.sampled_from(Gap), fold=st.sampled_from(Fold))
durations = st.integers(1, 900_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))
intervals = st.one_of(
    st.builds(Every, kind=st.just(EveryKind.HOURLY), value=st.integers(1, 48)),
    st.builds(
        Every,
        kind=st.just(EveryKind.WEEKLY),
        value=st.integers(1, 9),
        timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
        at_time=st.times().map(lambda at: at.replace(microsecond=0)),
        weekday=st.integers(0, 6),
    ),
    st.builds(
        Every,
        kind=st.just(EveryKind.MONTHLY),
        value=st.integers(1, 12),
        day=st.integers(1, 31) | st.just("last"),
        dst=dsts,
    ),
    st.builds(Cron, expression=st.sampled_from(["30 2 * * *", "0 9 * * 1-5"]), dst=dsts),
    st.builds(Cron, expression=st.sampled_from(["*/5 * * * *", "@daily", "0 9 * * 1-5"])),
    st.builds(Once, at=st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001 - hypothesis wants naive bounds
)
tasks = st.builds(
    Task,
    id=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(lambda text: text != "tasks"),
    name=st.text(alphabet="aé 1", min_size=1, max_size=20),
    description=st.text(alphabet="aé\n'\"", max_size=20),
    interval=intervals,
    target=st.builds(
        Target,
        endpoint=st.sampled_from(["https://h/a", "http://h:81/{user_id}?t={task_id}", "${env:U}/in?t=${env:T}"]),
        method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        headers=st.dictionaries(st.sampled_from(["X-A", "X-B"]), st.sampled_from(["", "1", "${env:K}"])),
        max_duration=st.none() | durations,
        signing_secrets=st.sampled_from([(), ("${env:S}",), ("${env:S}", "${file:/run/s}")]),
    ),
    source=st.sampled_from(TaskSource),
    timeout=st.none() | durations,
    retries=st.none() | st.integers(0, 100),
    retry_delay=st.none() | durations,
    retry_unknown=st.booleans(),
    priority=st.sampled_from(Priority),
    distribution_window=st.none() | durations | st.just(timedelta()),
    enabled=st.booleans(),
    default_enabled=st.booleans(),
    catch_up=st.sampled_from(CatchUp),
    max_age=durations,
    start_at=st.none() | instants(1971, 1999),
    end_at=st.none() | instants(2000, 9000),
)


@given(tasks)
def test_a_stored_task_reads_back_as_itself(task: Task) -> None:
    assert task_from_json(task_to_json(task)) == task


def test_fields_of_a_newer_version_are_ignored() -> None:
    task = load_catalog(SPEC_FILE).tasks["daily_report"]
    assert task_from_json(task_to_json(task).replace("{", '{"of_tomorrow":1,', 1)) == task


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000, "\ud800", b"\xff", '{"id":"a"}'])
def test_what_is_no_stored_task_is_an_invalid_value(text: str | bytes) -> None:
    with pytest.raises(InvalidValueError, match="stored task"):
        task_from_json(text)
