"""Runs of API tasks: what is due, fired and triggered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.api_run import due_run, triggered_job_id
from taskqueue.core.api_task import API_USER, TaskStatus, TaskType
from taskqueue.core.codec import decode_message
from taskqueue.core.dependency import DependencyType
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.state import Status
from taskqueue.errors import DamagedKeyError, LeaseLostError, StoreError
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_runs import EXECUTIONS_LISTED, ApiRuns, DueTask, Fired, Firing, Move, QueuedRun, TriggerRefusal
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from tests.support.api_firing import depend, end, fire, job_of, known
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.values import TEN_O_CLOCK

ONE, TWO = numbered_id(1), numbered_id(2)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DUE_ROW = a_new_task()


# --- what is due ------------------------------------------------------------------------------------------------------


async def test_what_is_due_comes_in_order_and_no_more_than_is_asked_for(tasks: ApiTaskStore, runs: ApiRuns) -> None:
    rows = [a_new_task(number, schedule_expression=f"{60 - number} 12 * * *") for number in range(1, 6)]
    await tasks.create_many(rows)
    found = await runs.due(NOON + timedelta(minutes=58, seconds=1), 3)
    assert [each.known for each in found] == [rows[4], rows[3], rows[2]]
    assert await runs.next() == NOON + timedelta(minutes=55)


async def test_nothing_is_due_where_there_are_no_tasks(runs: ApiRuns) -> None:
    assert (await runs.due(NOON, 10), await runs.next()) == ([], None)


async def test_a_record_of_another_hand_hides_no_other_task_and_is_looked_at_later(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await store.command("HSET", keys.api_task(ONE), "doc", "{}")

    found = {each.task_id: each for each in await runs.due(NOON, 10)}
    assert await runs.move(token, [Move(task_id=ONE, at=NOON + SECOND)]) == 1

    assert isinstance(found[ONE].damage, DamagedKeyError)
    assert found[TWO] == DueTask(task_id=TWO, known=a_new_task(2))
    assert [each.task_id for each in await runs.due(NOON, 10)] == [TWO]


async def test_a_record_without_a_definition_is_damaged(runs: ApiRuns, store: RedisStore) -> None:
    await store.command("HSET", keys.api_task(ONE), "rev", 1, "status", "scheduled", "next_at", 1)
    await store.command("ZADD", keys.API_DUE, 1, ONE)
    (found,) = await runs.due(NOON, 10)
    assert isinstance(found.damage, DamagedKeyError)


async def test_an_entry_that_is_no_text_is_named(runs: ApiRuns, store: RedisStore) -> None:
    await store.command("ZADD", keys.API_DUE, 1, b"\xff")
    with pytest.raises(DamagedKeyError) as raised:
        await runs.due(NOON, 10)
    assert raised.value.member == b"\xff"


async def test_an_entry_without_a_task_is_taken_off(runs: ApiRuns, store: RedisStore, token: str) -> None:
    await store.command("ZADD", keys.API_DUE, 1, ONE)
    assert await runs.due(NOON, 10) == [DueTask(task_id=ONE)]
    assert await runs.fire(token, [Firing(task_id=ONE)]) == [Fired.GONE]
    assert await runs.next() is None


# --- firing -----------------------------------------------------------------------------------------------------------


async def test_a_due_task_gives_one_pending_run_whose_job_waits_for_its_release(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore, scripts: Scripts, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    assert await fire(runs, token, DUE_ROW, now=NOON + SECOND) == [Fired.QUEUED]

    job_id = scheduled_job_id(ONE, API_USER, NOON)
    (waiting,) = await DelayedStore(store, scripts).due_until(NOON, 10)
    assert waiting.body is not None
    message = decode_message(waiting.body)
    record = ExecutionResult.from_json(await jobs.execution(job_id) or b"")
    assert (waiting.job_id, waiting.due, waiting.generation) == (job_id, NOON, 1)
    run = due_run(DUE_ROW[0], NOON, NOON + SECOND)
    assert message == run.message(message.job.payload, JobSource.API, NOON + SECOND)
    assert (record.status, record.started_at, record.task_type_id) == (Status.PENDING, NOON + SECOND, ONE)
    assert await store.command("ZRANGE", keys.api_executions(ONE), 0, -1) == [job_id.encode()]


async def test_the_task_moves_on_to_its_following_instant_with_the_run(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    await fire(runs, token, DUE_ROW)
    _, state = await known(tasks)
    assert (state.status, state.next_at, state.retry_count) == (TaskStatus.SCHEDULED, NOON + DAY, 0)
    assert state.last_execution_id == scheduled_job_id(ONE, API_USER, NOON)
    assert state.last_at is not None
    assert await runs.next() == NOON + DAY


async def test_without_the_lease_nothing_is_fired(tasks: ApiTaskStore, runs: ApiRuns, token: str) -> None:
    await tasks.create(*DUE_ROW)
    with pytest.raises(LeaseLostError):
        await fire(runs, "another:token", DUE_ROW)
    assert await known(tasks) == DUE_ROW


async def test_two_leaders_that_read_the_same_fire_it_once(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    answers = await asyncio.gather(*(fire(runs, token, DUE_ROW) for _ in range(5)))
    assert sorted(answers) == [[Fired.QUEUED], *[[Fired.STALE]] * 4]
    assert await store.command("ZCARD", keys.DELAYED) == 1


async def test_a_task_that_was_changed_since_it_was_read_is_not_fired(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    task = replace(DUE_ROW[0], revision=2, payload={"other": 1})
    await tasks.patch(DUE_ROW, task)
    assert await fire(runs, token, DUE_ROW) == [Fired.STALE]
    assert await store.command("EXISTS", keys.DELAYED) == 0
    assert await fire(runs, token, await known(tasks)) == [Fired.QUEUED]


async def test_a_task_that_was_paused_since_it_was_read_is_not_fired(
    tasks: ApiTaskStore, runs: ApiRuns, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    await tasks.set_paused(ONE, NOON)
    assert await fire(runs, token, DUE_ROW) == [Fired.OFF]
    assert await runs.next() is None


async def test_a_pause_that_races_the_firing_either_comes_first_or_finds_that_it_ran(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create_many([a_new_task(number) for number in range(1, 31)])
    rows = [await known(tasks, numbered_id(number)) for number in range(1, 31)]

    async def race(row: ApiTaskRow) -> None:
        await asyncio.gather(fire(runs, token, row), tasks.set_paused(row[0].task_id, NOON))

    await asyncio.gather(*map(race, rows))
    for task, _ in rows:
        _, state = await known(tasks, task.task_id)
        ran = await store.command("EXISTS", keys.execution(scheduled_job_id(task.task_id, API_USER, NOON)))
        assert (state.status, state.next_at) == (TaskStatus.PAUSED, NOON + DAY if ran else NOON)
    assert await runs.next() is None


async def test_a_run_that_was_queued_before_is_not_queued_again_but_the_task_moves_on(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    await fire(runs, token, DUE_ROW)
    # As after a Redis that has lost its last second.
    await store.command("HSET", keys.api_task(ONE), "next_at", to_unix_ms(NOON))
    await store.command("ZADD", keys.API_DUE, to_unix_ms(NOON), ONE)
    before = await store.command("HGETALL", keys.delayed_job(scheduled_job_id(ONE, API_USER, NOON)))

    assert await fire(runs, token, await known(tasks)) == [Fired.KNOWN]

    assert await store.command("HGETALL", keys.delayed_job(scheduled_job_id(ONE, API_USER, NOON))) == before
    assert await runs.next() == NOON + DAY


async def test_a_task_that_runs_once_is_due_no_more(tasks: ApiTaskStore, runs: ApiRuns, token: str) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    assert await fire(runs, token, row) == [Fired.QUEUED]
    _, state = await known(tasks)
    assert (state.status, state.next_at, await runs.next()) == (TaskStatus.SCHEDULED, None, None)


async def test_a_key_of_another_type_keeps_every_task_of_the_call_as_it_was(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    rows = [a_new_task(1), a_new_task(2)]
    await tasks.create_many(rows)
    await store.command("SET", keys.api_executions(TWO), "not ours")
    with pytest.raises(DamagedKeyError, match=keys.api_executions(TWO)):
        await fire(runs, token, *rows)
    assert [await known(tasks, ONE), await known(tasks, TWO)] == rows
    assert await store.command("EXISTS", keys.DELAYED) == 0


async def test_a_waiting_job_of_another_type_is_told_before_its_task_moves_on(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    rows = [a_new_task(1), a_new_task(2)]
    await tasks.create_many(rows)
    waiting_job = keys.delayed_job(scheduled_job_id(TWO, API_USER, NOON))
    await store.command("SET", waiting_job, "not ours")
    with pytest.raises(DamagedKeyError) as raised:
        await fire(runs, token, *rows)
    assert raised.value.key == waiting_job
    assert [await known(tasks, ONE), await known(tasks, TWO)] == rows


@pytest.mark.parametrize("right", ["hmget", "hvals", "hget"])
async def test_what_redis_refuses_to_tell_lets_no_task_run_and_takes_none_off(
    tasks: ApiTaskStore, dependencies: DependencyStore, store: RedisStore, redis_settings: RedisSettings, token: str,
    right: str,
) -> None:  # fmt: skip
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await depend(dependencies, ONE, TWO, DependencyType.SUCCESS)
    user = {"username": "taskqueue-test-fire", "password": SecretStr("of-this-test")}
    await store.command("ACL", "SETUSER", user["username"], "reset", "on", ">of-this-test", "~*", "+@all", f"-{right}")
    limited = RedisStore(redis_settings.model_copy(update=user), client_name="taskqueue-test")
    try:
        with pytest.raises(StoreError):
            await fire(ApiRuns(limited, Scripts(limited, asset_dir("lua"))), token, a_new_task(1))
    finally:
        await limited.close()
        await store.command("ACL", "DELUSER", user["username"])
    assert await known(tasks, ONE) == a_new_task(1)
    assert await store.command("ZSCORE", keys.API_DUE, ONE) is not None
    assert await store.command("EXISTS", keys.DELAYED) == 0


async def test_only_the_latest_executions_are_listed(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*DUE_ROW)
    old = [part for number in range(EXECUTIONS_LISTED) for part in (to_unix_ms(NOON) + number, f"old-{number}")]
    time = to_unix_ms(datetime.now(NOON.tzinfo))
    await store.command("ZADD", keys.api_executions(ONE), *(part if isinstance(part, str) else time for part in old))
    await fire(runs, token, DUE_ROW)
    assert await store.command("ZCARD", keys.api_executions(ONE)) == EXECUTIONS_LISTED
    assert await store.command("PTTL", keys.api_executions(ONE)) > 0


async def test_large_payloads_are_fired_a_few_at_a_time(
    tasks: ApiTaskStore, runs: ApiRuns, scripts: Scripts, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [a_new_task(number, payload="x" * 60_000) for number in range(1, 41)]
    await tasks.create_many(rows)
    messages, call = list[int](), scripts.call

    async def counted(script: str, names: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        messages.append(sum(len(each) for each in arguments if isinstance(each, bytes)))
        return await call(script, names, arguments)

    monkeypatch.setattr(scripts, "call", counted)
    assert await fire(runs, token, *rows) == [Fired.QUEUED] * 40
    assert len(messages) == 4
    assert max(messages) <= 1_000_000


# --- entries that were lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [keys.API_DUE, keys.API_WAITING])
async def test_what_was_lost_of_the_due_and_the_waiting_tasks_is_put_back(
    tasks: ApiTaskStore, runs: ApiRuns, dependencies: DependencyStore, store: RedisStore, token: str, key: str
) -> None:
    await tasks.create_many([a_new_task(number) for number in range(1, 4)])
    await depend(dependencies, ONE, TWO, DependencyType.SUCCESS)
    assert await fire(runs, token, await known(tasks)) == [Fired.WAITING]
    await tasks.set_paused(numbered_id(3), TEN_O_CLOCK)
    assert await runs.unlisted() == 0
    await store.command("DEL", key)
    assert await runs.unlisted() == 1

    assert await runs.put_back(token) == 1

    assert await runs.unlisted() == 0
    lost = TWO if key == keys.API_DUE else ONE
    assert [each.task_id for each in await runs.due(NOON, 10) if each.task_id == lost] == [lost]
    assert await runs.put_back(token) == 0


async def test_many_that_were_lost_are_put_back_each_at_its_instant(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create_many([a_new_task(number) for number in range(1, 1201)])
    before = await store.command("ZRANGE", keys.API_DUE, 0, -1, "WITHSCORES")
    await store.command("DEL", keys.API_DUE)
    assert await runs.put_back(token) == 1200
    assert await store.command("ZRANGE", keys.API_DUE, 0, -1, "WITHSCORES") == before


async def test_a_task_whose_only_run_is_on_its_way_is_not_put_back(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    assert (await runs.unlisted(), await runs.put_back(token), await runs.next()) == (1, 0, None)


async def test_without_the_lease_nothing_is_put_back(runs: ApiRuns, token: str) -> None:
    with pytest.raises(LeaseLostError):
        await runs.put_back("another:token")


# --- triggers ---------------------------------------------------------------------------------------------------------


async def test_a_trigger_queues_a_run_beside_the_schedule(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    run = await runs.trigger(DUE_ROW[0], "t-1", TEN_O_CLOCK)
    assert isinstance(run, QueuedRun)
    _, state = await known(tasks)
    assert run.execution_id == triggered_job_id(ONE, "t-1") == state.last_execution_id
    assert (state.next_at, state.last_at) == (NOON, run.queued_at)
    assert await store.command("ZSCORE", keys.DELAYED, run.execution_id) is not None


async def test_a_trigger_asked_for_again_is_the_same_run_even_after_its_end(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    first = await runs.trigger(DUE_ROW[0], "t-1", TEN_O_CLOCK)
    assert isinstance(first, QueuedRun)
    await end(jobs, job_of(first))
    assert await runs.trigger(DUE_ROW[0], "t-1", NOON) == first
    assert await store.command("ZCARD", keys.api_executions(ONE)) == 1


async def test_what_is_paused_or_gone_is_not_triggered(tasks: ApiTaskStore, runs: ApiRuns) -> None:
    assert await runs.trigger(DUE_ROW[0], "t-1", NOON) is TriggerRefusal.GONE
    await tasks.create(*DUE_ROW)
    await tasks.set_paused(ONE, NOON)
    assert await runs.trigger(DUE_ROW[0], "t-1", NOON) is TriggerRefusal.PAUSED
