import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from taskqueue.core.instants import to_unix_ms
from taskqueue.core.retry import Drop, Fail, Park, Skip
from taskqueue.core.state import Status
from taskqueue.core.task import TaskSource
from taskqueue.store.jobs import Admission, JobStore, Switch, Verdict
from taskqueue.store.limits import Limits
from taskqueue.worker.attempt import AttemptDefaults, Caller
from taskqueue.worker.handle import Handled, Handler, HandleTerms, switch_of
from taskqueue.worker.live_limits import LiveLimits
from taskqueue.worker.perseverance import Perseverance
from tests.support.fakes import JOB, TASK, message, some_hosts
from tests.support.values import TEN_O_CLOCK

KEPT = timedelta(hours=25)


@pytest.mark.parametrize(
    ("source", "default_enabled", "switch"),
    [
        ("scheduler", False, Switch.REQUIRED),
        ("scheduler", True, Switch.DEFAULT),
        ("trigger", False, Switch.OPTIONAL),
        ("billing", False, Switch.OPTIONAL),
        ("", False, Switch.OPTIONAL),
    ],
)
def test_only_a_planned_job_needs_its_users_consent(source: str, default_enabled: bool, switch: Switch) -> None:
    assert switch_of(message(source=source), replace(TASK, default_enabled=default_enabled)) is switch


@pytest.mark.parametrize("source", ["scheduler", "trigger", "billing"])
def test_no_job_of_a_disabled_task_runs(source: str) -> None:
    assert switch_of(message(source=source), replace(TASK, enabled=False)) is Switch.OFF


@pytest.mark.parametrize("source", ["scheduler", "trigger", "billing"])
def test_no_job_of_a_drained_task_runs(source: str) -> None:
    assert switch_of(message(source=source), replace(TASK, removed=True)) is Switch.REMOVED


@pytest.mark.parametrize("source", ["api", "dependency", "trigger"])
def test_a_task_of_the_api_has_no_user_who_could_switch_it_off(source: str) -> None:
    assert switch_of(message(source=source), replace(TASK, source=TaskSource.API)) is Switch.NONE
    assert switch_of(message(source=source), replace(TASK, source=TaskSource.API, enabled=False)) is Switch.OFF


@pytest.fixture
def handler() -> Handler:
    defaults = AttemptDefaults(
        timeout=timedelta(minutes=5),
        max_retries=3,
        retry_delay=timedelta(minutes=1),
        max_retry_delay=timedelta(hours=1),
        max_response_bytes=1024,
    )
    terms = HandleTerms(
        worker_id="worker-1",
        limits=LiveLimits(Limits()),
        hosts=some_hosts(),
        heartbeat_ttl=timedelta(seconds=15),
        sleepers=1,
        defaults=defaults,
    )
    return Handler(
        cast(JobStore, None),  # neither is asked: what is tested follows from an admission alone
        cast(Caller, None),
        terms,
        Perseverance(asyncio.Event()),
        stopping=asyncio.Event(),
        now=lambda: TEN_O_CLOCK,
        jitter=lambda: 0.5,
        emit=lambda _event: None,
    )


def _turned_away(handler: Handler, verdict: Verdict, word: str, milliseconds: int = 0) -> Handled:
    return handler._turned_away(JOB, Admission(verdict=verdict, milliseconds=milliseconds, word=word), KEPT)


async def test_a_parked_job_waits_until_the_instant_that_admission_names(handler: Handler) -> None:
    until = TEN_O_CLOCK + timedelta(seconds=15)

    handled = _turned_away(handler, Verdict.PARK, "claimed", to_unix_ms(until))

    assert handled.decision == Park(until=until, reason="claimed")
    assert handled.record is None
    assert not handled.called


@pytest.mark.parametrize(
    ("word", "waits_for"),
    [
        ("limit_global", "global"),
        ("limit_task", "task:daily_report"),
        ("limit_concurrency", "concurrency:daily_report"),
        ("claimed", None),
        ("early", None),
    ],
)
async def test_a_job_waits_for_its_turn_at_the_limit_that_held_it_back_and_for_an_instant_otherwise(
    handler: Handler, word: str, waits_for: str | None
) -> None:
    decision = _turned_away(handler, Verdict.PARK, word, to_unix_ms(TEN_O_CLOCK)).decision
    assert decision == Park(until=TEN_O_CLOCK, reason=word, waits_for=waits_for)


async def test_a_copy_is_dropped_without_a_record(handler: Handler) -> None:
    assert _turned_away(handler, Verdict.DROP, "success") == Handled(decision=Drop(reason="success"))


async def test_a_failure_that_never_reached_the_failed_queue_is_brought_there(handler: Handler) -> None:
    handled = _turned_away(handler, Verdict.DROP, "failing:retries_exhausted")

    assert isinstance(handled.decision, Fail)
    assert handled.decision.reason == "retries_exhausted"
    assert handled.record is None


@pytest.mark.parametrize(("word", "status"), [("preference_off", Status.SKIPPED), ("cancelled", Status.CANCELLED)])
async def test_a_job_that_nobody_wants_ends_with_a_record(handler: Handler, word: str, status: Status) -> None:
    handled = _turned_away(handler, Verdict.SKIP, word)

    assert handled.decision == Skip(reason=word)
    assert handled.record is not None
    assert (handled.record.status, handled.record.error, handled.record.reason) == (status, None, word)


@pytest.mark.parametrize("word", ["expired", "worker_lost"])
async def test_a_job_that_may_not_run_any_more_fails_and_says_why(handler: Handler, word: str) -> None:
    handled = _turned_away(handler, Verdict.FAIL, word)

    assert isinstance(handled.decision, Fail)
    assert handled.decision.reason == word
    assert handled.record is not None
    assert handled.record.error is not None
    assert (handled.record.status, handled.record.error.code) == (Status.FAILED, word)
    assert not handled.record.error.retry


async def test_a_job_of_a_task_that_was_deleted_through_the_api_is_skipped(handler: Handler) -> None:
    deleted = "550e8400-e29b-41d4-a716-446655440000"
    handled = handler.unknown_task(replace(JOB, task_type_id=deleted, user_id="api"))
    assert handled.decision == Skip(reason="task_removed")
    assert handled.record is not None
    assert (handled.record.status, handled.record.reason) == (Status.SKIPPED, "task_removed")


async def test_a_job_of_an_unknown_task_fails_and_names_it(handler: Handler) -> None:
    handled = handler.unknown_task(replace(JOB, task_type_id="misspelled"))

    assert isinstance(handled.decision, Fail)
    assert handled.decision.reason == "unknown_task"
    assert "misspelled" in handled.decision.detail
    assert handled.record is not None
    assert handled.record.status is Status.FAILED
