from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.instants import to_unix_ms
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.core.wait import WaitRecord
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import WAITING_KEPT
from taskqueue.store.jobs import Claimant, JobStore, Verdict
from tests.support.claims import AGAIN, FIRST, KEPT, OTHER, due_job, terms
from tests.support.values import a_record, a_wait

A_MINUTE = timedelta(minutes=1)
MILLISECOND = timedelta(milliseconds=1)

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]


async def postpone(
    jobs: JobStore,
    job: Job,
    claimant: Claimant = FIRST,
    *,
    next_attempt: int,
    until: datetime | None = None,
    body: bytes = b"message",
) -> str:
    return await jobs.postpone(
        job,
        claimant,
        next_attempt=next_attempt,
        until=until or datetime.now(UTC) + A_MINUTE,
        body=body,
        record=a_record(job, status=Status.RETRYING) if next_attempt > job.attempt else None,
        kept=KEPT,
    )


async def waiting(store: RedisStore, job: Job) -> list[bytes | None]:
    found: list[bytes | None] = await store.command(
        "HMGET", keys.delayed_job(job.id), "message", "attempt", "generation"
    )
    return found


async def test_a_retry_stores_the_message_of_the_next_attempt_until_its_time(jobs: JobStore, store: RedisStore) -> None:
    job, until = due_job(), datetime.now(UTC) + A_MINUTE
    await jobs.admit(job, FIRST, terms())
    assert await postpone(jobs, job, next_attempt=2, until=until, body=b"attempt 2") == "stored"
    assert await waiting(store, job) == [b"attempt 2", b"2", b"1"]
    assert int(await store.command("ZSCORE", keys.DELAYED, job.id)) == to_unix_ms(until)
    assert b'"retrying"' in (await jobs.execution(job.id) or b"")


async def test_after_a_retry_the_next_attempt_is_anybodys_and_the_last_one_is_stale(jobs: JobStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await postpone(jobs, job, next_attempt=2)
    assert (await jobs.admit(job, FIRST, terms())).word == "stale_attempt"
    assert (await jobs.admit(due_job(attempt=2), OTHER, terms())).verdict is Verdict.RUN


async def test_a_park_keeps_the_attempt_and_gives_up_the_claim(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    assert await postpone(jobs, job, next_attempt=1) == "stored"
    assert await waiting(store, job) == [b"message", b"1", b"1"]
    assert await jobs.execution(job.id) is None
    assert (await jobs.admit(job, OTHER, terms())).verdict is Verdict.RUN


async def test_a_job_that_nobody_claimed_can_be_parked(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    assert await postpone(jobs, job, next_attempt=1) == "stored"
    assert await store.command("EXISTS", keys.claim(job.id)) == 0


async def test_a_parked_copy_leaves_the_claim_to_its_owner(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    assert await postpone(jobs, job, OTHER, next_attempt=1) == "stored"
    assert await store.command("HGET", keys.claim(job.id), "owner") == b"worker-1:aa"


async def test_each_time_a_job_is_put_back_it_gets_a_new_generation(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    for generation in (b"1", b"2", b"3"):
        assert await postpone(jobs, job, next_attempt=1) == "stored"
        assert (await waiting(store, job))[2] == generation


async def test_a_park_asked_again_after_a_lost_answer_is_stored_once(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    assert [await postpone(jobs, job, next_attempt=1) for _ in range(2)] == ["stored", "stored"]
    assert await store.command("ZCARD", keys.DELAYED) == 1


async def test_a_retry_asked_again_after_a_lost_answer_changes_nothing(jobs: JobStore, snapshot: Snapshot) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await postpone(jobs, job, next_attempt=2)
    before = await snapshot()
    assert await postpone(jobs, job, next_attempt=2) == "stored"
    assert await snapshot() == before


async def test_a_retry_is_stored_although_redis_lost_its_claim(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await store.command("DEL", keys.claim(job.id))

    assert await postpone(jobs, job, next_attempt=2, body=b"attempt 2") == "stored"

    assert await waiting(store, job) == [b"attempt 2", b"2", b"1"]
    assert (await jobs.admit(job, OTHER, terms())).word == "stale_attempt"


async def test_what_is_over_is_not_put_back(jobs: JobStore, store: RedisStore, snapshot: Snapshot) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await store.command("SET", keys.done(job.id), "success")
    before = await snapshot()
    assert await postpone(jobs, job, next_attempt=2) == "done"
    assert await snapshot() == before


async def test_a_parked_copy_of_an_earlier_attempt_does_not_replace_a_later_one(
    jobs: JobStore, store: RedisStore
) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await postpone(jobs, job, next_attempt=2, body=b"attempt 2")
    await store.command("DEL", keys.claim(job.id))
    assert await postpone(jobs, job, OTHER, next_attempt=1, body=b"attempt 1") == "stale"
    assert (await waiting(store, job))[0] == b"attempt 2"


@pytest.mark.parametrize("taker", [OTHER, AGAIN], ids=["another worker", "a later delivery"])
async def test_a_worker_that_lost_its_claim_cannot_order_a_retry(
    jobs: JobStore, snapshot: Snapshot, taker: Claimant
) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())
    await jobs.last_beat(FIRST.incarnation)
    await jobs.admit(job, taker, terms())
    before = await snapshot()
    assert await postpone(jobs, job, FIRST, next_attempt=2) == "lost"
    assert await snapshot() == before


async def test_a_job_put_back_for_longer_than_claims_are_kept_is_still_there_at_its_time(
    jobs: JobStore, store: RedisStore
) -> None:
    job, until = due_job(), datetime.now(UTC) + timedelta(days=60)
    await jobs.admit(job, FIRST, terms())
    await postpone(jobs, job, next_attempt=1, until=until)
    gone_at = int(await store.command("PEXPIRETIME", keys.delayed_job(job.id)))
    assert gone_at == to_unix_ms(until) + WAITING_KEPT // MILLISECOND
    claim_gone_at = int(await store.command("PEXPIRETIME", keys.claim(job.id)))
    assert claim_gone_at == to_unix_ms(until) + KEPT // MILLISECOND


async def test_a_job_put_back_into_the_past_is_kept_from_now(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await postpone(jobs, job, next_attempt=1, until=datetime(1970, 1, 2, tzinfo=UTC))
    assert await store.command("PTTL", keys.delayed_job(job.id)) > (KEPT - A_MINUTE) // MILLISECOND


async def park(jobs: JobStore, job: Job, wait: WaitRecord) -> str:
    return await jobs.postpone(
        job, FIRST, next_attempt=job.attempt, until=wait.since, body=b"message", record=None, kept=KEPT, wait=wait
    )


async def test_a_park_leaves_what_it_waits_for_beside_the_record(jobs: JobStore, store: RedisStore) -> None:
    job, wait = due_job(), a_wait("task:daily_report")

    await park(jobs, job, wait)

    assert [WaitRecord.from_json(text) for text in await waits(store, job)] == [wait]
    assert 0 < int(await store.command("PTTL", keys.waits(job.id))) <= timedelta(days=2) // MILLISECOND


async def test_a_park_asked_again_leaves_its_wait_once(jobs: JobStore, store: RedisStore) -> None:
    job, wait = due_job(), a_wait()

    for _ in range(2):
        await park(jobs, job, wait)

    assert len(await waits(store, job)) == 1


async def test_of_many_waits_the_latest_fifty_stay(jobs: JobStore, store: RedisStore) -> None:
    job, since = due_job(), datetime(2024, 1, 15, 10, tzinfo=UTC)

    for number in range(53):
        await park(jobs, job, a_wait(since=since + number * A_MINUTE))

    found = [WaitRecord.from_json(text).since for text in await waits(store, job)]
    assert (len(found), found[0]) == (50, since + 3 * A_MINUTE)


async def test_a_retry_and_a_job_that_nothing_held_back_leave_no_wait(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())

    await postpone(jobs, job, next_attempt=2)

    assert await waits(store, job) == []


async def test_a_key_of_another_type_keeps_no_job_from_being_parked(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("SET", keys.waits(job.id), "nonsense")

    assert await park(jobs, job, a_wait()) == "stored"
    assert await store.command("PTTL", keys.waits(job.id)) == -1  # what is not ours gets no end either


async def waits(store: RedisStore, job: Job) -> list[bytes]:
    found: list[bytes] = await store.command("LRANGE", keys.waits(job.id), 0, -1)
    return found
