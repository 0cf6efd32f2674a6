from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import Job
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import Admission, JobStore, Switch, Verdict
from taskqueue.store.limits import Limit
from tests.support.claims import AGAIN, FIRST, HEARTBEAT_TTL, KEPT, OTHER, due_job, terms, watched_for, worker_lives

#: no second token within a test
SLOW = 0.001
ONE = Limit(rate=SLOW, burst=1)
MANY = Limit(rate=1000, burst=1000)

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]


async def tokens(store: RedisStore, key: str) -> float | None:
    found = await store.command("HGET", key, "tokens")
    return None if found is None else float(found)


def said(admission: Admission) -> tuple[Verdict, str]:
    return admission.verdict, admission.word


async def test_a_due_job_runs_and_is_claimed(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    admission = await jobs.admit(job, FIRST, terms())
    assert said(admission) == (Verdict.RUN, "")
    claim = await store.command("HMGET", keys.claim(job.id), "attempt", "owner", "delivery", "started")
    assert claim == [b"1", b"worker-1:aa", b"1", str(admission.milliseconds).encode()]
    assert 0 < await store.command("PTTL", keys.claim(job.id)) <= KEPT / timedelta(milliseconds=1)


async def test_the_same_question_gets_the_same_answer_and_takes_no_second_token(
    jobs: JobStore, store: RedisStore
) -> None:
    job, limits = due_job(), terms(global_limit=ONE, task_limit=ONE)
    assert (await jobs.admit(job, FIRST, limits)).verdict is Verdict.RUN
    before = await tokens(store, keys.GLOBAL_LIMIT)
    assert (await jobs.admit(job, FIRST, limits)).verdict is Verdict.RUN
    assert await tokens(store, keys.GLOBAL_LIMIT) == before


async def test_a_claim_of_a_worker_that_lives_parks_until_it_can_have_lapsed(jobs: JobStore) -> None:
    job = due_job()
    await worker_lives(jobs, FIRST)
    await jobs.admit(job, FIRST, terms())
    asked = datetime.now(UTC)
    admission = await jobs.admit(job, OTHER, terms())
    assert said(admission) == (Verdict.PARK, "claimed")
    assert abs(from_unix_ms(admission.milliseconds) - (asked + HEARTBEAT_TTL)) < timedelta(seconds=5)


async def test_a_claim_of_a_worker_that_died_is_taken_over(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await watched_for(store)
    await jobs.admit(job, FIRST, terms())
    assert (await jobs.admit(job, OTHER, terms())).verdict is Verdict.RUN
    assert await store.command("HGET", keys.claim(job.id), "owner") == b"worker-2:bb"


async def test_a_last_beat_lets_claims_lapse_at_once(jobs: JobStore) -> None:
    job = due_job()
    await worker_lives(jobs, FIRST)
    await jobs.admit(job, FIRST, terms())
    await jobs.last_beat(FIRST.incarnation)
    assert (await jobs.admit(job, OTHER, terms())).verdict is Verdict.RUN


async def test_an_older_delivery_to_the_same_worker_is_taken_over(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await worker_lives(jobs, FIRST)
    await jobs.admit(job, FIRST, terms())
    assert (await jobs.admit(job, AGAIN, terms())).verdict is Verdict.RUN
    assert await store.command("HGET", keys.claim(job.id), "delivery") == b"2"


async def test_a_lost_attempt_fails_where_the_task_forbids_a_second_try(jobs: JobStore) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms(rerun_lost=False))
    await jobs.last_beat(FIRST.incarnation)
    assert said(await jobs.admit(job, OTHER, terms(rerun_lost=False))) == (Verdict.FAIL, "worker_lost")


async def test_a_job_that_is_over_is_dropped_with_the_word_for_its_end(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("SET", keys.done(job.id), "success")
    assert said(await jobs.admit(job, FIRST, terms())) == (Verdict.DROP, "success")


async def test_a_cancelled_job_is_skipped(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("SET", keys.cancelled(job.id), "1")
    assert said(await jobs.admit(job, FIRST, terms())) == (Verdict.SKIP, "cancelled")


async def test_a_copy_of_an_earlier_attempt_is_dropped(jobs: JobStore, store: RedisStore) -> None:
    job = due_job(attempt=1)
    await store.command("HSET", keys.claim(job.id), "attempt", 2, "owner", "", "delivery", "")
    assert said(await jobs.admit(job, FIRST, terms())) == (Verdict.DROP, "stale_attempt")


async def test_a_job_beyond_its_age_fails_as_expired(jobs: JobStore) -> None:
    expired = terms(max_age=timedelta(milliseconds=1))
    assert said(await jobs.admit(due_job(), FIRST, expired)) == (Verdict.FAIL, "expired")


async def test_a_job_that_is_early_is_parked_until_its_time(jobs: JobStore) -> None:
    execute_after = datetime.now(UTC) + timedelta(hours=1)
    admission = await jobs.admit(due_job(execute_after=execute_after), FIRST, terms())
    assert admission == Admission(verdict=Verdict.PARK, milliseconds=to_unix_ms(execute_after), word="early")


async def test_the_switch_of_an_early_job_is_not_looked_at_before_its_time(jobs: JobStore) -> None:
    early = due_job(execute_after=datetime.now(UTC) + timedelta(hours=1))
    assert said(await jobs.admit(early, FIRST, terms(switch=Switch.REQUIRED))) == (Verdict.PARK, "early")


async def test_a_disabled_task_is_not_called_even_for_who_wants_it(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("HSET", keys.user_tasks(job.user_id), job.task_type_id, "1")
    assert said(await jobs.admit(job, FIRST, terms(switch=Switch.OFF))) == (Verdict.SKIP, "task_disabled")


async def test_a_job_of_a_drained_task_is_skipped(jobs: JobStore) -> None:
    assert said(await jobs.admit(due_job(), FIRST, terms(switch=Switch.REMOVED))) == (Verdict.SKIP, "task_removed")


async def test_a_job_that_is_a_little_early_waits(jobs: JobStore, store: RedisStore) -> None:
    seconds, microseconds = map(int, await store.command("TIME"))
    server_now = from_unix_ms(seconds * 1000 + microseconds // 1000)
    admission = await jobs.admit(due_job(execute_after=server_now + timedelta(seconds=0.9)), FIRST, terms())
    assert said(admission) == (Verdict.WAIT, "early")
    assert 0 < admission.milliseconds <= 900


@pytest.mark.parametrize(
    ("switch", "stands", "runs"),
    [
        (Switch.REQUIRED, "1", True),
        (Switch.REQUIRED, "0", False),
        (Switch.REQUIRED, "yes", False),
        (Switch.REQUIRED, None, False),
        (Switch.DEFAULT, "1", True),
        (Switch.DEFAULT, "0", False),
        (Switch.DEFAULT, "yes", False),
        (Switch.DEFAULT, "", False),
        (Switch.DEFAULT, None, True),
        (Switch.OPTIONAL, "1", True),
        (Switch.OPTIONAL, "0", False),
        (Switch.OPTIONAL, "yes", True),
        (Switch.OPTIONAL, None, True),
        (Switch.NONE, "0", True),
        (Switch.NONE, None, True),
    ],
)
async def test_the_users_switch_is_read_just_before_the_call(
    jobs: JobStore, store: RedisStore, switch: Switch, stands: str | None, runs: bool
) -> None:
    job = due_job()
    await store.command("HSET", keys.user_tasks(job.user_id), "another_task", "1")
    if stands is not None:
        await store.command("HSET", keys.user_tasks(job.user_id), job.task_type_id, stands)
    expected = (Verdict.RUN, "") if runs else (Verdict.SKIP, "preference_off")
    assert said(await jobs.admit(job, FIRST, terms(switch=switch))) == expected


async def test_a_user_of_whom_nothing_is_known_any_more_has_no_defaults(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("DEL", keys.user_tasks(job.user_id))
    assert said(await jobs.admit(job, FIRST, terms(switch=Switch.DEFAULT))) == (Verdict.SKIP, "preference_off")


@pytest.mark.parametrize(
    ("switch", "verdict"),
    [(Switch.REQUIRED, Verdict.SKIP), (Switch.DEFAULT, Verdict.SKIP), (Switch.OPTIONAL, Verdict.RUN)],
)
async def test_a_user_key_of_another_type_says_nothing(
    jobs: JobStore, store: RedisStore, switch: Switch, verdict: Verdict
) -> None:
    job = due_job()
    await store.command("SET", keys.user_tasks(job.user_id), "a text")
    assert (await jobs.admit(job, FIRST, terms(switch=switch))).verdict is verdict


async def test_a_free_token_in_both_buckets_is_taken_from_both(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    limits = terms(global_limit=Limit(rate=SLOW, burst=5), task_limit=Limit(rate=SLOW, burst=3))
    await jobs.admit(job, FIRST, limits)
    assert await tokens(store, keys.GLOBAL_LIMIT) == pytest.approx(4, abs=0.01)
    assert await tokens(store, keys.task_limit(job.task_type_id)) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize(("global_limit", "task_limit", "word"), [(MANY, ONE, "task"), (ONE, MANY, "global")])
async def test_one_empty_bucket_keeps_the_other_full_and_leaves_no_claim(
    jobs: JobStore, store: RedisStore, global_limit: Limit, task_limit: Limit, word: str
) -> None:
    limits = terms(global_limit=global_limit, task_limit=task_limit)
    await jobs.admit(due_job(id="first"), FIRST, limits)
    full = keys.GLOBAL_LIMIT if word == "task" else keys.task_limit("daily_report")
    before = await tokens(store, full)

    admission = await jobs.admit(due_job(id="second"), FIRST, limits)

    assert said(admission) == (Verdict.WAIT, word)
    assert await tokens(store, full) == before
    assert await store.command("EXISTS", keys.claim("second")) == 0


async def test_the_wait_is_that_of_the_bucket_that_takes_longer(jobs: JobStore) -> None:
    limits = terms(global_limit=Limit(rate=1, burst=1), task_limit=Limit(rate=0.1, burst=1))
    await jobs.admit(due_job(id="first"), FIRST, limits)
    admission = await jobs.admit(due_job(id="second"), FIRST, limits)
    assert said(admission) == (Verdict.WAIT, "task")
    assert 5000 < admission.milliseconds <= 10_000


async def test_a_missing_limit_is_no_bucket(jobs: JobStore, store: RedisStore) -> None:
    await jobs.admit(due_job(), FIRST, terms(global_limit=None, task_limit=ONE))
    assert await store.command("EXISTS", keys.GLOBAL_LIMIT) == 0


@pytest.mark.parametrize("limit", [Limit(rate=1, burst=0.5), Limit(rate=-1, burst=1), Limit(rate=1, burst=0)])
async def test_a_limit_that_never_allows_a_job_is_an_error_and_not_a_free_pass(jobs: JobStore, limit: Limit) -> None:
    with pytest.raises(StoreError, match=r"task (burst|rate)"):
        await jobs.admit(due_job(), FIRST, terms(task_limit=limit))


async def _over(jobs: JobStore, store: RedisStore, job: Job) -> None:
    await store.command("SET", keys.done(job.id), "success")


async def _cancelled(jobs: JobStore, store: RedisStore, job: Job) -> None:
    await store.command("SET", keys.cancelled(job.id), "1")


async def _claimed(jobs: JobStore, store: RedisStore, job: Job) -> None:
    await worker_lives(jobs, OTHER)
    await jobs.admit(job, OTHER, terms())


@pytest.mark.parametrize("prepare", [_over, _cancelled, _claimed])
async def test_a_job_that_is_turned_away_costs_no_token_and_changes_nothing(
    jobs: JobStore,
    store: RedisStore,
    snapshot: Snapshot,
    prepare: Callable[[JobStore, RedisStore, Job], Awaitable[None]],
) -> None:
    job = due_job()
    await prepare(jobs, store, job)
    before = await snapshot()
    assert (await jobs.admit(job, FIRST, terms(global_limit=MANY, task_limit=MANY))).verdict is not Verdict.RUN
    assert await snapshot() == before
