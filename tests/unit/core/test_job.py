from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.job import NOT_DISTRIBUTED, JobSource, Metadata
from tests.support.values import TEN_O_CLOCK, a_message


def test_another_attempt_is_a_new_message_of_the_same_job() -> None:
    first = a_message()
    second = first.for_attempt(2)
    assert (first.job.attempt, second.job.attempt) == (1, 2)
    assert second.job.id == first.job.id
    assert second.metadata is first.metadata


@pytest.mark.parametrize(
    ("source", "correlation_id", "occurrence"),
    [
        ("scheduler", "daily_report:20240115T100000Z", "20240115T100000Z"),
        ("scheduler", "daily_report:20240115T100000Z.0123456789abcdef", "20240115T100000Z.0123456789abcdef"),
        ("scheduler", "another:20240115T100000Z", None),
        ("scheduler", "daily_report:", None),
        ("scheduler", "req_789", None),
        ("trigger", "daily_report:20240115T100000Z", None),
    ],
)
def test_a_job_that_the_scheduler_planned_names_its_occurrence(
    source: str, correlation_id: str, occurrence: str | None
) -> None:
    message = replace(a_message(), metadata=Metadata(correlation_id=correlation_id, source=source))
    assert message.occurrence == occurrence


def test_metadata_says_not_distributed_unless_told() -> None:
    assert Metadata(correlation_id="", source="api").distribution_slot == NOT_DISTRIBUTED == -1


def test_the_sources_are_the_words_of_the_message_format() -> None:
    assert [source.value for source in JobSource] == ["scheduler", "trigger", "api", "dependency"]


def test_a_replayed_job_begins_anew_and_is_the_same_to_its_endpoint() -> None:
    failed, due = a_message(attempt=4), TEN_O_CLOCK + timedelta(days=3)

    replayed = failed.replayed(due)

    assert (replayed.job.attempt, replayed.job.execute_after) == (1, due)
    assert replace(replayed.job, attempt=4, execute_after=failed.job.execute_after) == failed.job
    assert replayed.metadata == failed.metadata


def test_a_replayed_job_belongs_to_its_occurrence_no_more_however_often_it_is_replayed() -> None:
    planned = replace(a_message(), metadata=Metadata(correlation_id="daily_report:today", source="scheduler"))

    once, twice = planned.replayed(TEN_O_CLOCK), planned.replayed(TEN_O_CLOCK).replayed(TEN_O_CLOCK)

    assert once.occurrence is None
    assert once == twice
    assert (once.metadata.source, once.metadata.correlation_id) == ("scheduler", "replay/daily_report:today")
