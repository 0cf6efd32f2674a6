"""The lists in which jobs wait for a limit: one list per job, in order, left only by who was published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.task import Priority
from taskqueue.core.wait import WaitReason, WaitRecord
from taskqueue.errors import DamagedKeyError, LeaseLostError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import WAITING_KEPT, DelayedStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from tests.support.claims import FIRST, KEPT, due_job, terms
from tests.support.values import a_wait

SECOND = timedelta(seconds=1)
NOW = from_unix_ms(to_unix_ms(datetime.now(UTC)))
SOON = NOW + timedelta(minutes=5)
TASK = "task:daily_report"


@pytest.fixture
def lists(store: RedisStore, scripts: Scripts) -> DelayedStore:
    return DelayedStore(store, scripts)


async def put(
    jobs: JobStore,
    job_id: str,
    limit: str | None = TASK,
    *,
    priority: Priority = Priority.NORMAL,
    execute_after: datetime = NOW,
    body: bytes = b"message",
    attempt: int = 1,
    next_attempt: int = 1,
    until: datetime = SOON,
) -> None:
    stored = await jobs.postpone(
        due_job(id=job_id, priority=priority, execute_after=execute_after, attempt=attempt),
        FIRST,
        next_attempt=next_attempt,
        until=until,
        body=body,
        record=None,
        kept=KEPT,
        wait=None if limit is None else a_wait(limit),
    )
    assert stored == "stored"


async def waiting_for(lists: DelayedStore, limit: str) -> list[str]:
    return [job.job_id for job in await lists.head(limit, 10)]


async def waiting_for_their_time(lists: DelayedStore) -> list[str]:
    return [job.job_id for job in await lists.due_until(SOON, 10)]


async def test_jobs_stand_by_priority_and_then_in_due_order(jobs: JobStore, lists: DelayedStore) -> None:
    await put(jobs, "low", priority=Priority.LOW, execute_after=NOW - SECOND)
    await put(jobs, "later", execute_after=NOW)
    await put(jobs, "high", priority=Priority.HIGH, execute_after=NOW + SECOND)
    await put(jobs, "sooner", execute_after=NOW - SECOND, body=b"its message")

    assert await waiting_for(lists, TASK) == ["high", "sooner", "later", "low"]
    high, sooner = await lists.head(TASK, 2)
    assert (high.due, sooner.due) == (NOW + SECOND, NOW - SECOND)
    assert (sooner.body, sooner.generation) == (b"its message", 1)
    assert await lists.head(TASK, 0) == []


async def test_a_job_that_waits_for_a_limit_does_not_wait_for_its_time(jobs: JobStore, lists: DelayedStore) -> None:
    await put(jobs, "a")
    assert await waiting_for_their_time(lists) == []
    assert await lists.count() == 0


async def test_the_limits_that_jobs_wait_for_are_known_with_how_many_do(jobs: JobStore, lists: DelayedStore) -> None:
    await put(jobs, "a")
    await put(jobs, "b")
    await put(jobs, "c", "global")
    await put(jobs, "d", None)
    assert await lists.limits() == ["global", TASK]
    assert await lists.waiting_counts() == {"global": 1, TASK: 2}


async def test_where_nobody_waits_there_is_no_limit(lists: DelayedStore) -> None:
    assert await lists.limits() == []
    assert await lists.waiting_counts() == {}
    assert await lists.head("global", 10) == []


async def test_lists_whose_names_are_lost_can_be_named_again(
    jobs: JobStore, lists: DelayedStore, store: RedisStore
) -> None:
    await put(jobs, "a")
    await store.command("DEL", keys.WAITING)
    await lists.name_again(["global", TASK])
    assert await lists.limits() == [TASK]
    await lists.name_again([])
    assert await lists.limits() == [TASK]


async def test_with_its_last_job_a_list_and_its_name_end(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a")
    await put(jobs, "b")
    first, second = await lists.head(TASK, 2)
    assert await lists.remove(token, [first], TASK) == 1
    assert await lists.limits() == [TASK]
    assert await lists.remove(token, [second], TASK) == 1
    assert await lists.limits() == []
    assert await store.command("EXISTS", keys.delayed_job("a"), keys.delayed_job("b"), keys.waiting(TASK)) == 0


@pytest.mark.parametrize("back_into", [TASK, "global", None])
async def test_a_job_that_was_put_back_since_it_was_read_stays(
    jobs: JobStore, lists: DelayedStore, token: str, back_into: str | None
) -> None:
    await put(jobs, "a")
    read = await lists.head(TASK, 1)
    await put(jobs, "a", back_into, body=b"newer")

    await lists.remove(token, read, TASK)

    left = await lists.due_until(SOON, 1) if back_into is None else await lists.head(back_into, 1)
    assert [job.body for job in left] == [b"newer"]


@pytest.mark.parametrize(("first", "second"), [(TASK, "global"), (TASK, None), (None, TASK), ("global", "queue:high")])
async def test_a_job_waits_in_one_list_at_a_time(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, first: str | None, second: str | None
) -> None:
    await put(jobs, "a", first)
    await put(jobs, "a", second)
    assert await lists.limits() == ([] if second is None else [second])
    assert await waiting_for_their_time(lists) == (["a"] if second is None else [])


async def test_moved_jobs_keep_their_priority_and_their_due_order(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    await put(jobs, "later", None, execute_after=NOW)
    await put(jobs, "sooner", None, execute_after=NOW - SECOND)
    await put(jobs, "low", None, priority=Priority.LOW, execute_after=NOW - timedelta(hours=1))
    await put(jobs, "stays", None)
    read = [job for job in await lists.due_until(SOON, 10) if job.job_id != "stays"]

    assert await lists.move(token, read, "queue:normal") == 3

    assert await waiting_for(lists, "queue:normal") == ["sooner", "later", "low"]
    assert await waiting_for_their_time(lists) == ["stays"]
    assert (await lists.head("queue:normal", 1))[0].body == b"message"


async def test_a_retry_stands_by_its_next_attempt_behind_those_that_nobody_has_tried(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    await put(jobs, "tried", None, execute_after=NOW - timedelta(hours=1), next_attempt=2, until=NOW)
    await put(jobs, "put back", execute_after=NOW - timedelta(minutes=30))
    await put(jobs, "later", execute_after=NOW + SECOND)

    await lists.move(token, await lists.due_until(SOON, 10), TASK)

    assert await waiting_for(lists, TASK) == ["put back", "tried", "later"]


async def test_a_retry_that_its_limit_puts_back_does_not_get_ahead_of_those_that_nobody_has_tried(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    long_ago = NOW - timedelta(hours=1)
    await put(jobs, "tried", TASK, execute_after=long_ago, attempt=2, next_attempt=2, until=NOW)
    await put(jobs, "tried elsewhere", None, execute_after=long_ago, attempt=2, next_attempt=2, until=NOW)
    await put(jobs, "put back", execute_after=NOW - timedelta(minutes=30))

    await lists.move(token, await lists.due_until(SOON, 10), TASK)

    assert await waiting_for(lists, TASK) == ["put back", "tried", "tried elsewhere"]


async def test_a_moved_job_is_still_known_by_the_generation_that_was_read(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    await put(jobs, "a", None)
    read = await lists.due_until(SOON, 1)
    await lists.move(token, read, TASK)
    assert await lists.remove(token, await lists.head(TASK, 1), TASK) == 1


async def test_a_job_that_was_put_back_since_it_was_read_is_not_moved(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    await put(jobs, "again", None)
    await put(jobs, "elsewhere", None)
    read = await lists.due_until(SOON, 10)
    await put(jobs, "again", None)
    await put(jobs, "elsewhere", "global")

    assert await lists.move(token, read, TASK) == 0

    assert await lists.limits() == ["global"]
    assert await waiting_for_their_time(lists) == ["again"]


async def test_a_move_asked_again_moves_nothing_more(jobs: JobStore, lists: DelayedStore, token: str) -> None:
    await put(jobs, "a", None)
    read = await lists.due_until(SOON, 1)
    assert [await lists.move(token, read, TASK) for _ in range(2)] == [1, 0]
    assert await waiting_for(lists, TASK) == ["a"]


async def test_removing_a_job_from_where_it_was_before_it_moved_loses_nothing(
    jobs: JobStore, lists: DelayedStore, token: str
) -> None:
    await put(jobs, "a", None)
    read = await lists.due_until(SOON, 1)
    await lists.move(token, read, TASK)

    assert await lists.remove(token, read) == 0

    assert [job.body for job in await lists.head(TASK, 1)] == [b"message"]


async def test_a_leftover_line_of_a_job_that_waits_elsewhere_is_published_from_there_alone(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a", "global")
    await store.command("ZADD", keys.waiting(TASK), 1, "a")
    (leftover,) = await lists.head(TASK, 1)
    assert leftover.body is None

    assert await lists.remove(token, [leftover], TASK) == 1

    assert await lists.head(TASK, 1) == []
    assert [job.body for job in await lists.head("global", 1)] == [b"message"]


async def test_a_job_whose_hash_is_gone_is_told_without_a_message_and_can_be_removed(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a")
    await store.command("DEL", keys.delayed_job("a"))
    (gone,) = await lists.head(TASK, 1)
    assert gone.body is None
    assert await lists.remove(token, [gone], TASK) == 1
    assert await lists.limits() == []


@pytest.mark.parametrize("moved", [False, True], ids=["put there", "moved there"])
async def test_a_job_is_kept_in_a_list_for_a_month_at_least(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str, moved: bool
) -> None:
    await put(jobs, "a", None if moved else TASK)
    if moved:
        await store.command("PEXPIRE", keys.delayed_job("a"), 1_000_000)
        await lists.move(token, await lists.due_until(SOON, 1), TASK)
    left = timedelta(milliseconds=await store.command("PTTL", keys.delayed_job("a")))
    assert left > WAITING_KEPT - timedelta(minutes=1)


async def test_a_job_in_a_list_runs_when_it_comes_again(jobs: JobStore) -> None:
    job = due_job(id="a")
    await put(jobs, "a")
    assert (await jobs.admit(job, FIRST, terms())).verdict == "run"


async def test_only_the_leader_moves_and_removes(jobs: JobStore, lists: DelayedStore, token: str) -> None:
    await put(jobs, "a", None)
    await put(jobs, "b")
    read, in_list = await lists.due_until(SOON, 1), await lists.head(TASK, 1)
    with pytest.raises(LeaseLostError):
        await lists.move(f"not {token}", read, TASK)
    with pytest.raises(LeaseLostError):
        await lists.remove(f"not {token}", in_list, TASK)


async def test_moving_nothing_asks_nobody(lists: DelayedStore) -> None:
    assert await lists.move("not the leader", [], TASK) == 0


@pytest.mark.parametrize("score", ["-1", "3e13", "inf", "-inf"])
async def test_a_line_at_no_place_is_named_with_its_list(lists: DelayedStore, store: RedisStore, score: str) -> None:
    await store.command("ZADD", keys.waiting(TASK), score, "a")
    with pytest.raises(DamagedKeyError) as caught:
        await lists.head(TASK, 1)
    assert (caught.value.key, caught.value.member) == (keys.waiting(TASK), b"a")


async def test_a_line_that_is_no_text_is_named_with_its_list(lists: DelayedStore, store: RedisStore) -> None:
    await store.command("ZADD", keys.DELAYED, 1, b"\xff")
    with pytest.raises(DamagedKeyError) as caught:
        await lists.due_until(SOON, 1)
    assert (caught.value.key, caught.value.member) == (keys.DELAYED, b"\xff")


@pytest.mark.parametrize("field", ["generation", "place"])
async def test_a_job_whose_numbers_are_none_is_named(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, field: str
) -> None:
    await put(jobs, "a")
    await store.command("HSET", keys.delayed_job("a"), field, "many")
    with pytest.raises(DamagedKeyError) as caught:
        await lists.head(TASK, 1)
    assert caught.value.key == keys.delayed_job("a")
    assert caught.value.unreadable


async def test_a_job_of_another_type_is_named(jobs: JobStore, lists: DelayedStore, store: RedisStore) -> None:
    await put(jobs, "a")
    await store.command("SET", keys.delayed_job("a"), "a text")
    with pytest.raises(DamagedKeyError) as caught:
        await lists.head(TASK, 1)
    assert caught.value.key == keys.delayed_job("a")


async def test_a_job_without_a_place_stands_where_a_normal_one_would(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "a", None)
    await store.command("HDEL", keys.delayed_job("a"), "place", "list")
    (read,) = await lists.due_until(SOON, 1)
    await lists.move(token, [read], TASK)
    (moved,) = await lists.head(TASK, 1)
    assert moved.due == SOON


async def test_a_job_that_the_leader_lets_wait_for_a_limit_has_that_on_record(
    jobs: JobStore, lists: DelayedStore, store: RedisStore, token: str
) -> None:
    await put(jobs, "retry", None, attempt=1, next_attempt=2)
    before = datetime.now(UTC) - timedelta(seconds=1)

    await lists.move(token, await lists.due_until(SOON, 10), "host:http%3A%2F%2Fa%3A80")

    (text,) = await store.command("LRANGE", keys.waits("retry"), 0, -1)
    wait = WaitRecord.from_json(text)
    assert (wait.limit, wait.reason, wait.attempt) == ("host:http%3A%2F%2Fa%3A80", WaitReason.HOST, 2)
    assert before < wait.since < before + timedelta(minutes=1)
    assert 0 < int(await store.command("PTTL", keys.waits("retry"))) <= timedelta(days=2) // timedelta(milliseconds=1)
