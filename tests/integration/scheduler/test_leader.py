from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

import pytest
from redis.asyncio import Redis

from taskqueue.broker.publisher import Outgoing
from taskqueue.core.task import Priority, Task
from taskqueue.dev.services import Redis as RedisService
from taskqueue.errors import BrokerError, BrokerUnavailableError
from taskqueue.runtime import utc_now
from taskqueue.scheduler import leader
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.lease import Lease
from taskqueue.store.limits import LimitStore
from taskqueue.telemetry.events import LoopFailed
from taskqueue.telemetry.scheduler_events import (
    CatalogSucceeded,
    DamagedKeySetAside,
    LeaderChanged,
    LeaseLost,
    LimitIgnored,
    WaitingMeasured,
)
from tests.support.inbox import eventually
from tests.support.release_dock import SECOND, put_back
from tests.support.scheduling import NewScheduler, TasksFile, task_type
from tests.support.tcp_proxy import TcpProxy

LEASE = "taskqueue:distribution:lock"
STATUS = "taskqueue:fleet:schedulers:status"


@pytest.fixture(autouse=True)
def _tasks(tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report"))


async def test_of_two_schedulers_one_leads(new_scheduler: NewScheduler, redis: Redis) -> None:
    first = await new_scheduler("first")
    await first.leads()
    second = await new_scheduler("second")
    await second.leads(False)

    assert (await redis.get(LEASE)).startswith("first:")
    assert [event.leading for event in first.events.of(LeaderChanged)] == [False, True]
    assert [event.leading for event in second.events.of(LeaderChanged)] == [False]

    async def told() -> dict[str, bool]:
        said = [json.loads(status) for status in (await redis.hgetall(STATUS)).values()]
        return {status["instance_id"]: status["leading_since"] is not None for status in said}

    async def both_have_told() -> bool:
        return await told() == {"first": True, "second": False}

    await eventually(both_have_told)


async def test_a_clean_stop_hands_over_within_two_seconds(new_scheduler: NewScheduler) -> None:
    first = await new_scheduler("first")
    await first.leads()
    second = await new_scheduler("second")
    clock = asyncio.get_running_loop().time

    began = clock()
    await first.scheduler.quiet()
    await second.leads()

    assert clock() - began < 2
    assert first.events.of(LeaderChanged)[-1].reason == "stopping"
    assert first.events.of(LeaseLost) == []


async def test_a_scheduler_that_stops_while_it_takes_the_lease_keeps_nobody_out(
    new_scheduler: NewScheduler, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, taken = Lease.acquire, asyncio.Event()

    async def taken_without_an_answer(lease: Lease) -> bool:
        assert await acquire(lease)
        taken.set()
        await asyncio.Event().wait()
        return False

    monkeypatch.setattr(Lease, "acquire", taken_without_an_answer)
    first = await new_scheduler("first")
    async with asyncio.timeout(10):
        await taken.wait()

    await first.scheduler.quiet()

    assert await redis.exists(LEASE) == 0


async def test_a_leader_that_lost_its_lease_steps_down_and_writes_nothing_more(
    new_scheduler: NewScheduler, redis: Redis
) -> None:
    first = await new_scheduler("first")
    await first.leads()
    led = len(first.events.events)
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.set(LEASE, "other:1")
        pipeline.zadd("taskqueue:delayed", {"job-that-expired": 1})  # a leader would remove it in its next round
        await pipeline.execute()

    await first.leads(False, after=led)

    assert [event.instance for event in first.events.of(LeaseLost)] == ["first"]
    assert await redis.get(LEASE) == "other:1"
    assert await redis.zrange("taskqueue:delayed", 0, -1) == ["job-that-expired"]


async def test_a_leader_whose_lease_was_deleted_contends_again(new_scheduler: NewScheduler, redis: Redis) -> None:
    first = await new_scheduler("first")
    await first.leads()
    led = len(first.events.events)
    token = await redis.get(LEASE)

    await redis.delete(LEASE)
    await first.leads(False, after=led)
    await first.leads(after=led)

    assert await redis.get(LEASE) != token


async def test_a_leader_that_cannot_reach_redis_for_longer_than_its_lease_steps_down(
    new_scheduler: NewScheduler, redis_server: RedisService, redis: Redis
) -> None:
    host, _, port = redis_server.address.rpartition(":")
    async with TcpProxy(host, int(port)) as network:
        cut_off = await new_scheduler("first", addresses=(f"127.0.0.1:{network.port}",))
        await cut_off.leads()
        led = len(cut_off.events.events)
        other = await new_scheduler("second")

        network.refusing = True
        await network.cut()
        await cut_off.leads(False, after=led)
        await other.leads()
        assert (await redis.get(LEASE)).startswith("second:")

        network.refusing = False
        await cut_off.stop()

    assert (await redis.get(LEASE)).startswith("second:")


async def test_a_redis_that_hangs_ends_leadership_as_well(
    new_scheduler: NewScheduler, redis_server: RedisService
) -> None:
    host, _, port = redis_server.address.rpartition(":")
    async with TcpProxy(host, int(port)) as network:
        cut_off = await new_scheduler("first", addresses=(f"127.0.0.1:{network.port}",))
        await cut_off.leads()
        led = len(cut_off.events.events)

        network.freeze()
        await cut_off.leads(False, after=led)

        network.thaw()
        await cut_off.stop()


async def test_a_scheduler_without_redis_says_once_that_it_does_not_lead(
    new_scheduler: NewScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    is_free = Lease.is_free

    async def counted(lease: Lease) -> bool:
        nonlocal asked
        asked += 1
        return await is_free(lease)

    async def asked_three_times() -> bool:
        return asked >= 3

    monkeypatch.setattr(Lease, "is_free", counted)
    scheduler = await new_scheduler("alone", addresses=("127.0.0.1:1",))
    scheduler.scheduler._store_health.clock.known.set()  # without Redis's time it does not even ask

    await eventually(asked_three_times)

    assert [event.leading for event in scheduler.events.of(LeaderChanged)] == [False]


async def test_a_leader_that_sees_redis_but_not_rabbitmq_lets_another_lead(
    new_scheduler: NewScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "BROKER_PATIENCE_S", 1.0)
    first = await new_scheduler("first", queue_url="amqp://guest:guest@127.0.0.1:1/")
    await first.leads()
    second = await new_scheduler("second")

    await second.leads()

    assert "RabbitMQ" in first.events.of(LeaseLost)[-1].reason
    assert not first.scheduler.health()["leader"]


async def test_a_free_lease_is_taken_by_one_who_sees_rabbitmq_before_one_who_does_not(
    new_scheduler: NewScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "YIELD_S", 3600.0)
    cut_off = await new_scheduler("cut-off", queue_url="amqp://guest:guest@127.0.0.1:1/")
    well = await new_scheduler("well")

    await well.leads()

    assert [event.leading for event in cut_off.events.of(LeaderChanged)] == [False]


@pytest.mark.parametrize("held", [("SET", LEASE, "by hand", "EX", 86_400), ("RPUSH", LEASE, "by hand")])
async def test_a_leader_whose_lease_somebody_wrote_over_leads_again_when_a_lease_is_over(
    new_scheduler: NewScheduler, redis: Redis, held: Sequence[str | int]
) -> None:
    first = await new_scheduler("first")
    await first.leads()
    led = len(first.events.events)

    async with redis.pipeline(transaction=True) as together:
        together.delete(LEASE)
        together.execute_command(*held)
        await together.execute()
    await first.leads(False, after=led)
    await first.leads(after=led)

    assert (await redis.get(LEASE)).startswith("first:")


async def test_where_nobody_sees_rabbitmq_somebody_goes_on_planning(
    new_scheduler: NewScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "BROKER_PATIENCE_S", 1.0)
    only = await new_scheduler("only", queue_url="amqp://guest:guest@127.0.0.1:1/")
    await only.leads()
    led = len(only.events.events)

    await only.leads(False, after=led)
    await only.leads(after=led)


async def test_a_loop_that_fails_for_an_unknown_reason_stops_no_other_and_tells_where(
    new_scheduler: NewScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("seven is not a colour")

    monkeypatch.setattr(LimitStore, "read", broken)
    first = await new_scheduler("first")
    await first.leads()

    async def told() -> bool:
        return bool(first.events.of(LoopFailed))

    await eventually(told)
    (failed,) = first.events.of(LoopFailed)
    assert (failed.loop, failed.error) == ("limits", "ValueError: seven is not a colour")
    assert "in broken" in failed.exception
    assert first.events.of(LeaseLost) == []


async def test_a_limit_that_is_none_is_told_once(new_scheduler: NewScheduler, redis: Redis) -> None:
    await redis.hset("taskqueue:limits", "task:report", "ten")
    first = await new_scheduler("first")
    await first.leads()
    asked = 0

    async def asked_often() -> bool:
        nonlocal asked
        asked += 1
        return asked > 150 and bool(first.events.of(LimitIgnored))

    await eventually(asked_often)
    assert [event.limit for event in first.events.of(LimitIgnored)] == ["task:report"]


@pytest.mark.parametrize("key", ["taskqueue:hosts", "taskqueue:limits:overrides", "taskqueue:limits"])
async def test_a_damaged_key_of_the_gates_is_set_aside_and_the_others_are_followed(
    new_scheduler: NewScheduler, redis: Redis, key: str
) -> None:
    await redis.set(key, "not ours")
    if key != "taskqueue:limits":
        await redis.hset("taskqueue:limits", "task:report", "ten")
    first = await new_scheduler("first")
    await first.leads()

    async def set_aside() -> bool:
        return not await redis.exists(key)

    await eventually(set_aside)
    assert (await first.events.wait_for(DamagedKeySetAside)).key == key
    assert len(first.events.of(DamagedKeySetAside)) == 1
    assert [event for event in first.events.of(LoopFailed) if not event.restart_in_s] == []
    # The limit that is none was told before the damaged key was met: by the same look, in whatever order.
    assert bool(first.events.of(LimitIgnored)) == (key != "taskqueue:limits")


async def test_a_tasks_file_that_changes_while_the_definitions_are_written_reaches_the_workers(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = CatalogStore.write, 0

    async def write_while_it_changes(store: CatalogStore, token: str, tasks: Mapping[str, Task], revision: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            tasks_file.write(task_type("report"), task_type("new"))
            await eventually(lambda: _is("new" in first.scheduler.catalog.tasks))
        await write(store, token, tasks, revision)

    monkeypatch.setattr(CatalogStore, "write", write_while_it_changes)
    first = await new_scheduler("first")
    await first.leads()

    async def known() -> bool:
        return bool(await redis.hexists("taskqueue:catalog", "new"))

    await eventually(known)


async def test_a_leader_with_an_old_and_short_tasks_file_drops_nothing(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis
) -> None:
    names = [f"task-{number}" for number in range(6)]
    tasks_file.write(*map(task_type, names))
    first = await new_scheduler("first")
    await first.leads()
    await eventually(lambda: redis.exists("taskqueue:due"))
    tasks_file.write(task_type("task-0"))
    second = await new_scheduler("second", removed="drain")
    await first.stop()

    told = await second.events.wait_for(CatalogSucceeded)
    await eventually(lambda: _is(second.scheduler.catalog.tasks.keys() == set(names)))

    assert (told.written_by, told.removed, told.refused) == ("first", tuple(names[1:]), True)
    assert "allow_mass_delete" in str(second.scheduler.health()["tasks"])
    assert await redis.hlen("taskqueue:catalog:removed") == 0
    assert await redis.hlen("taskqueue:due:rules") == 6


async def test_a_leader_measures_what_waits(new_scheduler: NewScheduler) -> None:
    first = await new_scheduler("first")
    for after in range(2):
        measured = await first.events.wait_for(WaitingMeasured, after=after)
        assert measured == WaitingMeasured(delayed=0, by_limit={}, lane_lag_s=None)


async def _is(condition: bool) -> bool:
    return condition


async def test_a_leader_sends_copies_of_one_job_at_most_to_a_queue_that_confirms_nothing(
    new_scheduler: NewScheduler, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await new_scheduler("first")
    await first.leads()
    high = first.scheduler.publishers.direct[Priority.HIGH]
    await high.wait_ready(15)
    sent = list[int]()

    async def unheard(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        sent.append(len(outgoing))
        return [BrokerUnavailableError("no confirm") for _ in outgoing]

    monkeypatch.setattr(high, "publish_all", unheard)
    async with redis.pipeline(transaction=True) as together:
        for number in range(20):
            await put_back(together, f"user-{number}", utc_now() - SECOND)
        await together.execute()
    await eventually(lambda: _is(len(sent) >= 3), 15)

    assert sent[:3] == [20, 1, 1]


@pytest.mark.parametrize(("field", "value"), [("junk", b"\xff"), (b"\xff", b"{}"), ("junk", b"[]"), ("junk", b"{}")])
@pytest.mark.parametrize("key", ["taskqueue:catalog", "taskqueue:catalog:removed", "taskqueue:due:rules"])
async def test_what_strangers_write_beside_the_definitions_keeps_no_leader_from_planning(
    new_scheduler: NewScheduler, redis: Redis, key: str, field: str | bytes, value: bytes
) -> None:
    await redis.hset("taskqueue:catalog", "gone", b"{}")
    await redis.hset(key, field, value)
    first = await new_scheduler("first")

    async def planned() -> bool:
        return bool(await redis.zscore("taskqueue:due", "report"))

    await eventually(planned)
    assert first.events.of(LoopFailed) == []
