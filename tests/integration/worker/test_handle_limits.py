"""What a job that its limit holds back does to the hands that hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from taskqueue.core.host_limit import host_of
from taskqueue.core.job import JobMessage
from taskqueue.core.outcome import outcome_of_status
from taskqueue.core.retry import Park
from taskqueue.core.task import Task
from taskqueue.core.waiting import host_limit
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import Claimant, JobStore, Places, Verdict
from taskqueue.store.keys import user_tasks
from taskqueue.store.limit_overrides import LimitOverrides, Override
from taskqueue.store.limits import Limit, Limits
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.worker_events import LimitWaited
from taskqueue.worker import live_limits
from taskqueue.worker.attempt import AttemptDefaults, Caller
from taskqueue.worker.handle import Handler, HandleTerms
from taskqueue.worker.hosts import Hosts, Passage
from taskqueue.worker.live_limits import LiveLimits
from taskqueue.worker.perseverance import Perseverance
from tests.support.claims import OTHER, terms
from tests.support.fakes import TASK, some_hosts
from tests.support.inbox import eventually
from tests.support.values import a_job, a_message

DEFAULTS = AttemptDefaults(
    timeout=timedelta(minutes=5),
    max_retries=3,
    retry_delay=timedelta(minutes=1),
    max_retry_delay=timedelta(hours=1),
    max_response_bytes=1024,
)

#: a task for everybody: what is tested comes after the preference
WANTED = replace(TASK, default_enabled=True)

#: at most one job of it runs at a time
ONE_AT_A_TIME = replace(WANTED, max_concurrency=1)

MakeHandler = Callable[[Limit | None], Handler]


@pytest.fixture(autouse=True)
async def known_user(store: RedisStore) -> None:
    """The user has preferences, so that what is on by default is on."""
    await store.command("HSET", user_tasks("user_12345"), "another", "1")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def hosts() -> Hosts:
    """The hosts of the worker, none of which has trouble."""
    return some_hosts()


@pytest.fixture
def handler(store: RedisStore, scripts: Scripts, told: list[Event], hosts: Hosts) -> MakeHandler:
    def make(limit: Limit | None) -> Handler:
        handle_terms = HandleTerms(
            worker_id="worker-1",
            limits=LiveLimits(Limits(global_=limit)),
            hosts=hosts,
            heartbeat_ttl=timedelta(seconds=15),
            sleepers=1,
            defaults=DEFAULTS,
        )
        return Handler(
            JobStore(store, scripts),
            cast(Caller, None),  # no job here comes so far
            handle_terms,
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
    await store.command("HSET", "taskqueue:ratelimit:global", "tokens", 0, "last_refill", repr(seconds + 4))


def message(number: int) -> JobMessage:
    return a_message(id=f"job-{number}", execute_after=datetime.now(UTC) - timedelta(seconds=1))


def parked(told: list[Event]) -> list[bool]:
    return [event.parked for event in told if isinstance(event, LimitWaited)]


async def handle(handler: Handler, number: int, task: Task = WANTED) -> Park:
    claimant = Claimant(incarnation="worker-1:aa", delivery=number)
    handled = await handler.handle(message(number), task, claimant)
    assert isinstance(handled.decision, Park)
    return handled.decision


async def test_a_job_sleeps_for_its_limit_no_longer_than_a_second_in_all(
    handler: MakeHandler, store: RedisStore, told: list[Event]
) -> None:
    limit = Limit(rate=2.5, burst=1)
    await empty(store, limit)

    async with asyncio.timeout(5):
        decision = await handle(handler(limit), 1)

    assert parked(told) == [False, False, True]
    assert (decision.reason, decision.waits_for) == ("limit_global", "global")


async def test_only_as_many_hands_as_allowed_sleep_for_a_limit(
    handler: MakeHandler, store: RedisStore, told: list[Event]
) -> None:
    limit = Limit(rate=2.5, burst=1)
    await empty(store, limit)
    shared = handler(limit)

    await asyncio.gather(*(handle(shared, number) for number in range(5)))

    assert parked(told)[:5].count(False) == 1


async def test_a_limit_that_gives_nothing_within_a_second_sends_its_job_to_its_list_at_once(
    handler: MakeHandler, store: RedisStore, told: list[Event]
) -> None:
    limit = Limit(rate=0.1, burst=1)
    await empty(store, limit)

    decision = await handle(handler(limit), 1)

    assert parked(told) == [True]
    assert decision.waits_for == "global"


async def test_a_job_tries_for_a_second_to_get_a_place_of_its_task_and_then_waits_in_a_list(
    handler: MakeHandler, store: RedisStore, scripts: Scripts, told: list[Event]
) -> None:
    running = a_job(id="running", execute_after=datetime.now(UTC) - timedelta(seconds=1))
    places = Places(most=1, kept=timedelta(minutes=5))
    assert (await JobStore(store, scripts).admit(running, OTHER, terms(places=places))).verdict is Verdict.RUN

    async with asyncio.timeout(5):
        decision = await handle(handler(None), 1, ONE_AT_A_TIME)

    assert (decision.reason, decision.waits_for) == ("limit_concurrency", "concurrency:daily_report")
    assert parked(told)[-1]
    assert not any(parked(told)[:-1])
    assert len(parked(told)) > 10


@pytest.mark.parametrize(("max_duration", "longest"), [(None, 300), (timedelta(seconds=20), 20)])
async def test_a_place_outlasts_the_longest_call_by_a_minute(
    handler: MakeHandler, max_duration: timedelta | None, longest: int
) -> None:
    target = replace(ONE_AT_A_TIME.target, max_duration=max_duration)
    places = handler(None)._places(replace(ONE_AT_A_TIME, target=target))
    assert places == Places(most=1, kept=timedelta(seconds=longest + 60))
    assert handler(None)._places(WANTED) is None


def trouble(hosts: Hosts, seconds: int | None = None) -> None:
    """Let the task's host ask for so much peace, or just answer 503."""
    passage = hosts.enter(TASK)
    assert not isinstance(passage, timedelta)
    hosts.leave(TASK, passage, outcome_of_status(503, None if seconds is None else timedelta(seconds=seconds)))


async def test_a_job_of_a_closed_host_goes_to_its_list_without_a_claim_or_a_token(
    handler: MakeHandler, hosts: Hosts, store: RedisStore, told: list[Event]
) -> None:
    trouble(hosts, 30)

    decision = await handle(handler(Limit(rate=10, burst=10)), 1)

    assert (decision.reason, decision.waits_for) == ("limit_host", host_limit(host_of(TASK.target.endpoint)))
    assert [(event.limit, event.parked) for event in told if isinstance(event, LimitWaited)] == [("host", True)]
    assert await store.command("KEYS", "taskqueue:*") == [user_tasks("user_12345").encode()]


async def test_a_job_that_waits_for_another_call_to_its_host_does_so_for_a_second_at_most(
    handler: MakeHandler, hosts: Hosts, told: list[Event]
) -> None:
    trouble(hosts)
    for _ in range(2):
        assert isinstance(hosts.enter(TASK), Passage)

    async with asyncio.timeout(10):
        decision = await handle(handler(None), 1)

    assert decision.reason == "limit_host"
    assert parked(told).count(False) == 20


async def test_a_job_that_is_not_the_probe_goes_to_the_list_of_its_host(
    handler: MakeHandler, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(hosts)
    monkeypatch.setattr(hosts, "may_call", lambda passage: passage is None)

    decision = await handle(handler(None), 1)

    assert (decision.reason, decision.waits_for) == ("limit_host", host_limit(host_of(TASK.target.endpoint)))


async def test_a_job_that_does_not_run_leaves_its_place_at_the_host_to_others(
    handler: MakeHandler, hosts: Hosts, store: RedisStore
) -> None:
    trouble(hosts)
    limit = Limit(rate=0.1, burst=1)
    await empty(store, limit)

    await handle(handler(limit), 1)

    assert [isinstance(hosts.enter(TASK), Passage) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("limits", "waits_for"),
    [
        (Limits(global_=Limit(rate=0, burst=5)), "global"),
        (Limits(global_=Limit(rate=5, burst=5), tasks={TASK.id: Limit(rate=0, burst=1)}), f"task:{TASK.id}"),
    ],
)
async def test_a_limit_of_nothing_sends_every_job_to_its_list_and_leaves_the_buckets_alone(
    handler: MakeHandler, store: RedisStore, told: list[Event], limits: Limits, waits_for: str
) -> None:
    stopped = handler(None)
    stopped._terms.limits.in_force = limits

    decision = await handle(stopped, 1)

    assert decision.waits_for == waits_for
    assert parked(told) == [True]
    assert await store.command("KEYS", "taskqueue:*") == [user_tasks("user_12345").encode()]


async def test_what_is_set_for_a_while_is_followed_and_ends(
    store: RedisStore, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_limits, "_LOOK_EVERY_S", 0.01)
    overrides, ahead = LimitOverrides(store, scripts), timedelta(0)
    own = LiveLimits(Limits(global_=Limit(rate=5, burst=5)))
    following = asyncio.create_task(own.follow(overrides, lambda: datetime.now(UTC) + ahead))
    ten = Limit(rate=10, burst=10)

    async def holds(limit: Limit) -> bool:
        return own.in_force.global_ == limit

    await overrides.set("global", Override(limit=ten, until=datetime.now(UTC) + timedelta(minutes=1)))
    await eventually(lambda: holds(ten))
    ahead = timedelta(minutes=2)
    await eventually(lambda: holds(Limit(rate=5, burst=5)))

    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
