"""The worker's watch: it cuts what bears a mark, within its time, and asks nobody while nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.task import Target as Endpoint
from taskqueue.dev.target import Target
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.worker.attempt import CANCELLED, CUT, AttemptDefaults, Caller
from taskqueue.worker.cancellations import CancellationWatch
from taskqueue.worker.http_call import HttpCaller
from taskqueue.worker.http_connection import Connection, Origin, Pool
from taskqueue.worker.references import References
from tests.support.fakes import targeting
from tests.support.inbox import eventually
from tests.support.values import TEN_O_CLOCK, a_job

DEFAULTS = AttemptDefaults(
    timeout=timedelta(seconds=30),
    max_retries=3,
    retry_delay=timedelta(minutes=1),
    max_retry_delay=timedelta(hours=1),
    max_response_bytes=1024,
)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with Target() as target:
        yield target


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    http = HttpCaller(user_agent="test")
    await http.start()
    yield Caller(http, References({}), DEFAULTS, now=lambda: TEN_O_CLOCK)
    await http.stop()


@pytest.fixture
def cancellations(store: RedisStore, scripts: Scripts) -> Cancellations:
    return Cancellations(store, scripts)


async def test_marked_calls_are_cut_and_the_others_go_on(
    target: Target, caller: Caller, cancellations: Cancellations
) -> None:
    task = targeting(Endpoint(endpoint=target.url + "/block"))
    watch = asyncio.create_task(CancellationWatch(cancellations, caller).run())
    calls = {
        job_id: asyncio.create_task(caller.call(task, a_job(id=job_id), started_at=TEN_O_CLOCK))
        for job_id in ("a", "b", "c")
    }
    await target.wait_for_calls(3)

    await cancellations.cancel("a")
    await cancellations.cancel("c")
    async with asyncio.timeout(2):
        cut = [(await calls[job_id]).outcome for job_id in ("a", "c")]

    async def the_endpoint_has_seen_it() -> bool:
        return target.blocked == 1

    await eventually(the_endpoint_has_seen_it, 2)
    assert caller.under_way() == ["b"]
    target.release()
    assert (await calls["b"]).outcome.kind is OutcomeClass.SUCCESS
    watch.cancel()

    assert cut == [CANCELLED, CANCELLED]


async def test_a_call_that_is_cut_while_it_still_dials_has_had_no_effect(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialling = asyncio.Event()

    async def dial(_pool: Pool, _origin: Origin) -> Connection:
        dialling.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Pool, "dial", dial)
    task = targeting(Endpoint(endpoint="http://reports.example/"))
    calls = [asyncio.create_task(caller.call(task, a_job(id=id_), started_at=TEN_O_CLOCK)) for id_ in ("a", "b")]
    await dialling.wait()

    caller.cancel("a")
    caller.cut()

    outcomes = [(await call).outcome for call in calls]
    assert outcomes == [replace(CANCELLED, effect_unknown=False), replace(CUT, effect_unknown=False)]


async def test_a_job_that_is_not_under_way_cannot_be_cut(target: Target, caller: Caller) -> None:
    caller.cancel("a")

    attempt = await caller.call(targeting(Endpoint(endpoint=target.url + "/ok")), a_job(id="a"), started_at=TEN_O_CLOCK)

    assert attempt.outcome.kind is OutcomeClass.SUCCESS


async def test_a_call_that_is_cancelled_and_cut_at_once_ends_once(target: Target, caller: Caller) -> None:
    task = targeting(Endpoint(endpoint=target.url + "/block"))
    call = asyncio.create_task(caller.call(task, a_job(id="a"), started_at=TEN_O_CLOCK))
    await target.wait_for_calls(1)

    for _ in range(3):
        caller.cancel("a")
        caller.cut()
        await asyncio.sleep(0)

    assert (await call).outcome == CANCELLED
    assert caller.under_way() == []
