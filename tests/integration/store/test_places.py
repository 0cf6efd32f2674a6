"""`max_concurrency`: the places of a task, taken at admission and given back at the job's end, over all workers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.jobs import AdmitTerms, Claimant, JobStore, Places, Verdict
from taskqueue.store.limits import Limit
from taskqueue.store.scripts import Scripts
from tests.support.claims import AGAIN, FIRST, KEPT, OTHER, due_job, terms, watched_for, worker_lives
from tests.support.values import a_record

TASK = "daily_report"
AN_HOUR = timedelta(hours=1)

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]


@pytest.fixture
def delayed(store: RedisStore, scripts: Scripts) -> DelayedStore:
    return DelayedStore(store, scripts)


def at_most(most: int, kept: timedelta = AN_HOUR, **changes: object) -> AdmitTerms:
    return terms(places=Places(most=most, kept=kept), **changes)


def claimant(delivery: int, worker: str = "worker-1:aa") -> Claimant:
    return Claimant(incarnation=worker, delivery=delivery)


async def taken(store: RedisStore) -> list[str]:
    return [place.decode() for place in await store.command("ZRANGE", keys.running(TASK), 0, -1)]


async def admitted(jobs: JobStore, job_id: str, who: Claimant, allowed: AdmitTerms) -> bool:
    admission = await jobs.admit(due_job(id=job_id), who, allowed)
    assert (admission.verdict, admission.word) in {(Verdict.RUN, ""), (Verdict.WAIT, "concurrency")}
    return admission.verdict is Verdict.RUN


async def test_no_more_jobs_run_than_there_are_places(jobs: JobStore) -> None:
    assert [await admitted(jobs, str(number), claimant(number), at_most(2)) for number in range(4)] == [
        True,
        True,
        False,
        False,
    ]


async def test_a_full_task_makes_a_job_wait_a_moment_and_leaves_no_claim(jobs: JobStore, store: RedisStore) -> None:
    await admitted(jobs, "first", FIRST, at_most(1))
    admission = await jobs.admit(due_job(id="second"), OTHER, at_most(1))
    assert admission.verdict is Verdict.WAIT
    assert 10 <= admission.milliseconds < 100
    assert await store.command("EXISTS", keys.claim("second")) == 0


async def test_places_are_those_of_one_task(jobs: JobStore) -> None:
    await admitted(jobs, "first", FIRST, at_most(1))
    other_task = due_job(id="second", task_type_id="weekly_report")
    assert (await jobs.admit(other_task, AGAIN, at_most(1))).verdict is Verdict.RUN


async def test_a_job_without_a_place_takes_no_token(jobs: JobStore, store: RedisStore) -> None:
    limit = Limit(rate=0.001, burst=5)
    await admitted(jobs, "first", FIRST, at_most(1, global_limit=limit))
    before = await store.command("HGET", keys.GLOBAL_LIMIT, "tokens")
    assert not await admitted(jobs, "second", AGAIN, at_most(1, global_limit=limit))
    assert await store.command("HGET", keys.GLOBAL_LIMIT, "tokens") == before


async def test_a_job_without_a_token_takes_no_place(jobs: JobStore, store: RedisStore) -> None:
    limit = Limit(rate=0.001, burst=1)
    await admitted(jobs, "first", FIRST, at_most(2, task_limit=limit))
    assert (await jobs.admit(due_job(id="second"), AGAIN, at_most(2, task_limit=limit))).word == "task"
    assert len(await taken(store)) == 1


async def test_the_same_question_takes_no_second_place(jobs: JobStore, store: RedisStore) -> None:
    assert [await admitted(jobs, "a", FIRST, at_most(1)) for _ in range(2)] == [True, True]
    assert await taken(store) == ["worker-1:aa 1 a"]


async def _finish(jobs: JobStore, job: Job) -> None:
    await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)


async def _retry(jobs: JobStore, job: Job) -> None:
    await _postpone(jobs, job, 2)


async def _park(jobs: JobStore, job: Job) -> None:
    await _postpone(jobs, job, 1)


async def _postpone(jobs: JobStore, job: Job, attempt: int) -> None:
    until = datetime.now(UTC) + AN_HOUR
    await jobs.postpone(job, FIRST, next_attempt=attempt, until=until, body=b"message", record=None, kept=KEPT)


async def _finish_what_another_has_finished(jobs: JobStore, job: Job) -> None:
    await jobs.finish(job, OTHER, a_record(job, status=Status.CANCELLED), called=False, kept=KEPT)
    await _finish(jobs, job)


async def _put_back_what_another_has_finished(jobs: JobStore, job: Job) -> None:
    await jobs.finish(job, OTHER, a_record(job, status=Status.CANCELLED), called=False, kept=KEPT)
    await _retry(jobs, job)


@pytest.mark.parametrize(
    "end",
    [_finish, _retry, _park, _finish_what_another_has_finished, _put_back_what_another_has_finished],
    ids=lambda end: end.__name__.strip("_"),
)
async def test_the_end_of_an_attempt_gives_its_place_back(
    jobs: JobStore, store: RedisStore, end: Callable[[JobStore, Job], Awaitable[None]]
) -> None:
    assert await admitted(jobs, "a", FIRST, at_most(1))
    await end(jobs, due_job(id="a"))
    assert await taken(store) == []
    assert await admitted(jobs, "b", AGAIN, at_most(1))


async def test_the_end_of_a_job_leaves_the_place_of_whoever_runs_it_as_well(jobs: JobStore, store: RedisStore) -> None:
    await worker_lives(jobs, FIRST)
    assert await admitted(jobs, "a", FIRST, at_most(1))
    job = due_job(id="a")
    await jobs.finish(job, OTHER, a_record(job, status=Status.CANCELLED), called=False, kept=KEPT)
    assert await taken(store) == ["worker-1:aa 1 a"]


async def test_a_copy_put_back_leaves_the_place_of_the_delivery_that_runs(jobs: JobStore, store: RedisStore) -> None:
    assert await admitted(jobs, "a", FIRST, at_most(1))
    until = datetime.now(UTC) + AN_HOUR
    await jobs.postpone(due_job(id="a"), AGAIN, next_attempt=1, until=until, body=b"m", record=None, kept=KEPT)
    assert await taken(store) == ["worker-1:aa 1 a"]


@pytest.mark.parametrize("taker", [OTHER, AGAIN], ids=["another worker", "a later delivery"])
async def test_a_claim_that_is_taken_over_counts_once(jobs: JobStore, store: RedisStore, taker: Claimant) -> None:
    assert await admitted(jobs, "a", FIRST, at_most(1))
    await jobs.last_beat(FIRST.incarnation)
    assert await admitted(jobs, "a", taker, at_most(1))
    assert await taken(store) == [f"{taker.incarnation} {taker.delivery} a"]


async def test_the_places_of_a_worker_that_is_gone_are_free(jobs: JobStore, store: RedisStore) -> None:
    for number in range(3):
        assert await admitted(jobs, str(number), claimant(number), at_most(3))
    assert not await admitted(jobs, "more", OTHER, at_most(3))
    await jobs.last_beat(FIRST.incarnation)
    assert await admitted(jobs, "more", OTHER, at_most(3))
    assert await taken(store) == ["worker-2:bb 1 more"]


async def test_a_worker_without_a_first_heartbeat_is_not_taken_for_gone(jobs: JobStore) -> None:
    assert await admitted(jobs, "a", FIRST, at_most(1))
    assert not await admitted(jobs, "b", OTHER, at_most(1))


async def test_a_heartbeat_stays_as_its_worker_wrote_it(jobs: JobStore, store: RedisStore) -> None:
    await jobs.beat(FIRST.incarnation, '{"capacity":5}', AN_HOUR)
    assert await admitted(jobs, "a", FIRST, at_most(1))
    assert await store.command("GET", keys.worker(FIRST.incarnation)) == b'{"capacity":5}'
    assert await store.command("PTTL", keys.worker(FIRST.incarnation)) > 60_000


async def test_a_place_that_has_lapsed_is_free_whoever_lives(jobs: JobStore, store: RedisStore) -> None:
    await worker_lives(jobs, FIRST)
    assert await admitted(jobs, "a", FIRST, at_most(1))
    await store.command("ZADD", keys.running(TASK), 1, "worker-1:aa 1 a")
    assert await admitted(jobs, "b", OTHER, at_most(1))


async def test_places_end_with_the_last_of_them(jobs: JobStore, store: RedisStore) -> None:
    await admitted(jobs, "long", claimant(1), at_most(3, kept=AN_HOUR))
    await admitted(jobs, "short", claimant(2), at_most(3, kept=timedelta(minutes=1)))
    left = timedelta(milliseconds=await store.command("PTTL", keys.running(TASK)))
    assert timedelta(minutes=59) < left <= AN_HOUR


async def test_a_task_without_a_maximum_takes_no_place(jobs: JobStore, store: RedisStore) -> None:
    await jobs.admit(due_job(id="a"), FIRST, terms())
    assert await taken(store) == []


async def test_a_smaller_maximum_lets_those_finish_that_run(jobs: JobStore) -> None:
    for number in range(3):
        assert await admitted(jobs, str(number), claimant(number), at_most(3))
    assert not await admitted(jobs, "more", claimant(9), at_most(1))
    for number in range(3):
        job = due_job(id=str(number))
        await jobs.finish(job, claimant(number), a_record(job), called=True, kept=KEPT)
    assert await admitted(jobs, "more", claimant(9), at_most(1))


async def test_the_leader_learns_how_many_jobs_run(jobs: JobStore, delayed: DelayedStore) -> None:
    for number in range(3):
        await admitted(jobs, str(number), claimant(number), at_most(3))
    assert await delayed.running([TASK, "another"]) == {TASK: 3, "another": 0}
    assert await delayed.running([]) == {}


async def test_jobs_of_a_worker_that_is_gone_do_not_run(jobs: JobStore, delayed: DelayedStore) -> None:
    await admitted(jobs, "a", FIRST, at_most(3))
    await admitted(jobs, "b", OTHER, at_most(3))
    await jobs.last_beat(FIRST.incarnation)
    assert await delayed.running([TASK]) == {TASK: 1}


async def test_places_of_a_lost_worker_are_found_among_many_once_they_are_the_oldest(
    jobs: JobStore, delayed: DelayedStore, store: RedisStore
) -> None:
    await watched_for(store)
    await worker_lives(jobs, FIRST)
    far = 10**14
    living = [part for number in range(100) for part in (far + number, f"worker-1:aa {number} job")]
    await store.command("ZADD", keys.running(TASK), *living, far - 1, "worker-9:ff 1 lost")
    assert await delayed.running([TASK]) == {TASK: 100}


async def test_places_that_were_taken_while_the_clock_was_ahead_are_found_behind_any_number(
    jobs: JobStore, delayed: DelayedStore, store: RedisStore
) -> None:
    await watched_for(store)
    await worker_lives(jobs, FIRST)
    far = 10**14
    living = [part for number in range(100) for part in (far + number, f"worker-1:aa {number} job")]
    lost = [part for number in range(40) for part in (far + 1000 + number, f"worker-9:ff {number} lost")]
    await store.command("ZADD", keys.running(TASK), *living, *lost)
    counts = [(await delayed.running([TASK]))[TASK] for _ in range(3)]
    assert counts[-1] == 100


async def test_a_key_of_another_type_keeps_no_job_from_its_end_and_is_named_to_the_leader(
    jobs: JobStore, delayed: DelayedStore, store: RedisStore
) -> None:
    await store.command("SET", keys.running(TASK), "a text")
    await _finish(jobs, due_job(id="a"))
    with pytest.raises(DamagedKeyError) as caught:
        await delayed.running([TASK])
    assert caught.value.key == keys.running(TASK)


class Crew:
    """Workers that run jobs of one task, die at any step, and count what really runs."""

    def __init__(self, jobs: JobStore, seed: int, most: int) -> None:
        self.jobs = jobs
        self.random = random.Random(seed)
        self.allowed = at_most(most)
        self.running: set[tuple[str, str]] = set()
        self.peak = 0
        self.refused = 0
        self.done: set[str] = set()

    async def work(self, worker: str, jobs: list[str]) -> None:
        """Run `jobs` one after the other; after a death another incarnation goes on with those that are left."""
        life, delivery = 0, 0
        await worker_lives(self.jobs, claimant(0, f"{worker}:{life}"))
        while left := [job_id for job_id in jobs if job_id not in self.done]:
            delivery += 1
            if await self._run(self.random.choice(left), claimant(delivery, f"{worker}:{life}")):
                life += 1
                await worker_lives(self.jobs, claimant(0, f"{worker}:{life}"))

    async def _run(self, job_id: str, who: Claimant) -> bool:
        """Return whether the worker died over it."""
        job = due_job(id=job_id)
        admission = await self.jobs.admit(job, who, self.allowed)
        if admission.verdict is not Verdict.RUN:
            self.refused += admission.word == "concurrency"
            return False
        self.running.add((who.incarnation, job_id))
        self.peak = max(self.peak, len(self.running))
        for _ in range(self.random.randrange(3, 9)):
            await self.jobs.execution(job_id)  # something to wait for, so that others get their turn
        self.running.discard((who.incarnation, job_id))
        fate = self.random.random()
        if fate < 0.2:
            await self.jobs.last_beat(who.incarnation)
            return True
        if fate < 0.4:
            until = datetime.now(UTC)
            await self.jobs.postpone(job, who, next_attempt=1, until=until, body=b"m", record=None, kept=KEPT)
            return False
        await self.jobs.finish(job, who, a_record(job), called=True, kept=KEPT)
        self.done.add(job_id)
        return False


@pytest.mark.parametrize(("most", "seed"), [(1, 1), (2, 2), (3, 3), (5, 4)])
async def test_whatever_dies_no_more_run_than_allowed_and_no_place_is_lost(
    jobs: JobStore, delayed: DelayedStore, most: int, seed: int
) -> None:
    crew = Crew(jobs, seed, most)
    everything = [f"job-{number}" for number in range(40)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(crew.work(f"worker-{number}", everything) for number in range(8)))
    assert crew.done == set(everything)
    assert crew.peak <= most
    assert crew.refused > 0
    assert await delayed.running([TASK]) == {TASK: 0}
