from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.values import TEN_O_CLOCK

SECOND = timedelta(seconds=1)
SOON = from_unix_ms(to_unix_ms(datetime.now(UTC) + timedelta(minutes=5)))


@pytest.fixture
def delayed(store: RedisStore, scripts: Scripts) -> DelayedStore:
    return DelayedStore(store, scripts)


async def put(jobs: JobStore, job_id: str, until: datetime, body: bytes = b"message") -> None:
    job = due_job(id=job_id)
    stored = await jobs.postpone(job, FIRST, next_attempt=1, until=until, body=body, record=None, kept=KEPT)
    assert stored == "stored"


async def test_due_jobs_come_earliest_first_with_their_messages(jobs: JobStore, delayed: DelayedStore) -> None:
    await put(jobs, "b:{2}\n*", SOON + SECOND, b"second")
    await put(jobs, "a", SOON, b"first")
    await put(jobs, "c", SOON + 2 * SECOND)
    found = await delayed.due_until(SOON + SECOND, 10)
    assert [(job.job_id, job.due, job.body, job.generation) for job in found] == [
        ("a", SOON, b"first", 1),
        ("b:{2}\n*", SOON + SECOND, b"second", 1),
    ]
    assert [job.job_id for job in await delayed.due_until(SOON + SECOND, 1)] == ["a"]
    assert await delayed.count() == 3


async def test_what_was_published_is_removed_with_its_message(
    jobs: JobStore, delayed: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a", SOON)
    assert await delayed.remove(token, await delayed.due_until(SOON, 10)) == 1
    assert await delayed.count() == 0
    assert await store.command("EXISTS", keys.delayed_job("a")) == 0


async def test_what_was_put_back_since_it_was_read_stays(jobs: JobStore, delayed: DelayedStore, token: str) -> None:
    await put(jobs, "again", SOON)
    await put(jobs, "once", SOON)
    read = await delayed.due_until(SOON, 10)
    await put(jobs, "again", SOON, b"newer")

    assert await delayed.remove(token, read) == 1

    assert [(job.job_id, job.body) for job in await delayed.due_until(SOON, 10)] == [("again", b"newer")]


async def test_a_removal_asked_again_removes_nothing_more(jobs: JobStore, delayed: DelayedStore, token: str) -> None:
    await put(jobs, "a", SOON)
    read = await delayed.due_until(SOON, 10)
    assert [await delayed.remove(token, read) for _ in range(2)] == [1, 0]


async def test_an_entry_whose_job_has_expired_is_told_without_a_message_and_can_be_removed(
    jobs: JobStore, delayed: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a", SOON)
    await store.command("DEL", keys.delayed_job("a"))
    (gone,) = await delayed.due_until(SOON, 10)
    assert gone.body is None
    assert await delayed.remove(token, [gone]) == 1
    assert await delayed.count() == 0


async def test_an_entry_that_came_back_after_it_had_expired_stays(
    jobs: JobStore, delayed: DelayedStore, token: str
) -> None:
    await put(jobs, "a", SOON)
    (read,) = await delayed.due_until(SOON, 10)
    assert await delayed.remove(token, [replace(read, body=None, generation=0)]) == 0
    assert await delayed.count() == 1


async def test_removing_nothing_asks_nobody(delayed: DelayedStore) -> None:
    assert await delayed.remove("not the leader", []) == 0


async def test_without_a_tail_nothing_is_known_of_the_lane(delayed: DelayedStore) -> None:
    assert await delayed.lane_tail() is None


async def test_the_lanes_tail_only_rises_and_ends(delayed: DelayedStore, store: RedisStore, token: str) -> None:
    for tail in (TEN_O_CLOCK, TEN_O_CLOCK + SECOND, TEN_O_CLOCK):
        await delayed.raise_lane_tail(token, tail, 60_000)
    assert await delayed.lane_tail() == TEN_O_CLOCK + SECOND
    assert 0 < await store.command("PTTL", keys.LANE_TAIL) <= 60_000
