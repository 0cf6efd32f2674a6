"""What a job that its limit holds back does to the hands that hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from taskqueue.core.job import JobMessage
from taskqueue.core.retry import Park
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import Claimant, JobStore, Limit
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Event, LimitWaited
from taskqueue.worker.attempt import AttemptDefaults, Caller
from taskqueue.worker.handle import Handler, HandleTerms
from taskqueue.worker.perseverance import Perseverance
from tests.support.fakes import TASK
from tests.support.values import a_message

DEFAULTS = AttemptDefaults(
    timeout=timedelta(minutes=5),
    max_retries=3,
    retry_delay=timedelta(minutes=1),
    max_retry_delay=timedelta(hours=1),
    max_response_bytes=1024,
)

#: a task for everybody: what is tested comes after the preference
WANTED = replace(TASK, default_enabled=True)

MakeHandler = Callable[[Limit], Handler]


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def handler(store: RedisStore, scripts: Scripts, told: list[Event]) -> MakeHandler:
    def make(limit: Limit) -> Handler:
        terms = HandleTerms(
            worker_id="worker-1",
            global_limit=limit,
            task_limits={},
            heartbeat_ttl=timedelta(seconds=15),
            sleepers=1,
            defaults=DEFAULTS,
        )
        return Handler(
            JobStore(store, scripts),
            cast(Caller, None),  # no job here comes so far
            terms,
            Perseverance(asyncio.Event()),
            stopping=asyncio.Event(),
            now=lambda: datetime.now(UTC),
            jitter=lambda: 0.0,
            emit=told.append,
        )

    return make


async def empty(store: RedisStore, limit: Limit) -> None:
    scripts_now = await store.command("TIME")
    seconds = int(scripts_now[0]) + int(scripts_now[1]) / 1e6
    await store.command("HSET", "taskqueue:ratelimit:global", "tokens", 0, "last_refill", repr(seconds + 3600))


def message(number: int) -> JobMessage:
    return a_message(id=f"job-{number}", execute_after=datetime.now(UTC) - timedelta(seconds=1))


def parked(told: list[Event]) -> list[bool]:
    return [event.parked for event in told if isinstance(event, LimitWaited)]


async def handle(handler: Handler, number: int) -> Park:
    claimant = Claimant(incarnation="worker-1:aa", delivery=number)
    handled = await handler.handle(message(number), WANTED, claimant)
    assert isinstance(handled.decision, Park)
    assert handled.decision.reason == "limit_global"
    return handled.decision


async def test_a_job_sleeps_for_its_limit_no_longer_than_a_second_in_all(
    handler: MakeHandler, store: RedisStore, told: list[Event]
) -> None:
    limit = Limit(rate=2.5, burst=1)
    await empty(store, limit)

    async with asyncio.timeout(5):
        decision = await handle(handler(limit), 1)

    assert parked(told) == [False, False, True]
    assert decision.until > datetime.now(UTC) + timedelta(seconds=2)


async def test_only_as_many_hands_as_allowed_sleep_for_a_limit(
    handler: MakeHandler, store: RedisStore, told: list[Event]
) -> None:
    limit = Limit(rate=2.5, burst=1)
    await empty(store, limit)
    shared = handler(limit)

    await asyncio.gather(*(handle(shared, number) for number in range(5)))

    assert parked(told)[:5].count(False) == 1
