"""Due API tasks as a check of all of them finds them, and the moves of their next instants."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from taskqueue.core.instants import to_unix_ms
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns, Move
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from tests.support.api_firing import known
from tests.support.api_values import NOON, a_new_task, numbered_id

ONE, TWO = numbered_id(1), numbered_id(2)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


async def test_a_task_that_was_changed_since_it_was_read_keeps_the_instant_that_it_got(
    tasks: ApiTaskStore, runs: ApiRuns, token: str
) -> None:
    before = a_new_task(1)
    await tasks.create(*before)
    sooner = replace(before[0], revision=2, schedule_expression="0 11 * * *")
    await tasks.patch(before, sooner, replace(before[1], next_at=NOON - HOUR))

    assert await runs.move(token, [Move(task_id=ONE, at=NOON + HOUR, known=before)]) == 0

    assert await runs.next() == NOON - HOUR
    assert (await known(tasks))[1].next_at == NOON - HOUR


async def test_a_task_that_became_due_later_since_it_was_read_is_not_looked_at_sooner(
    tasks: ApiTaskStore, runs: ApiRuns, token: str
) -> None:
    await tasks.create(*a_new_task(1))
    assert await runs.move(token, [Move(task_id=ONE, at=NOON - SECOND)]) == 0
    assert await runs.next() == NOON


async def test_a_task_that_is_listed_no_more_is_not_listed_again(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore, token: str
) -> None:
    await tasks.create(*a_new_task(1))
    before = await known(tasks)
    await store.command("DEL", keys.API_DUE)
    moves = [Move(task_id=ONE, at=NOON + HOUR, known=before), Move(task_id=ONE, at=NOON + HOUR)]
    assert await runs.move(token, moves) == 0
    assert await store.command("EXISTS", keys.API_DUE) == 0
    assert await known(tasks) == before


async def test_all_that_are_listed_and_can_be_read_are_found_once_each(
    tasks: ApiTaskStore, runs: ApiRuns, store: RedisStore
) -> None:
    rows = [a_new_task(number) for number in range(1, 301)]
    await tasks.create_many(rows)
    await store.command("HSET", keys.api_task(ONE), "doc", "{}")
    await store.command("DEL", keys.api_task(TWO))
    await store.command("SET", keys.api_task(TWO), "not ours")
    await store.command("ZADD", keys.API_DUE, 1, b"\xff", 2, "no-task")
    pieces = [piece async for piece in runs.listed()]
    found = [each.known for piece in pieces for each in piece]
    assert sorted(found, key=lambda row: row[0].task_id) == rows[2:]
    assert {each.score for piece in pieces for each in piece} == {to_unix_ms(NOON)}
    assert len(pieces) > 1
