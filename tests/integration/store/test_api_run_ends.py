"""Runs of API tasks: how they end, and which tasks wait for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskqueue.core.api_task import API_USER, TaskStatus, TaskType, new_state
from taskqueue.core.codec import decode_message
from taskqueue.core.dependency import DependencyType
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.state import Status
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_runs import ApiRuns, Fired, QueuedRun
from taskqueue.store.api_tasks import ApiTaskStore, Changed
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from tests.support.api_firing import depend, end, fire, in_status, job_of, known
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.claims import FIRST, KEPT, terms
from tests.support.values import TEN_O_CLOCK, a_record

ONE, TWO = numbered_id(1), numbered_id(2)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DUE_ROW = a_new_task()


# --- ends -------------------------------------------------------------------------------------------------------------


async def counts(store: RedisStore, task_id: str = ONE) -> dict[str, int]:
    flat = await store.command("HGETALL", keys.api_stats(task_id))
    return {name.decode(): int(count) for name, count in flat.items()}


async def put_to(tasks: ApiTaskStore, instant: datetime) -> None:
    """Let the task run once, at that instant."""
    before = await known(tasks)
    task = replace(before[0], run_at=instant, revision=before[0].revision + 1)
    assert isinstance(await tasks.patch(before, task, new_state(task, TEN_O_CLOCK)), Changed)


async def test_each_end_is_counted_once_in_all_and_for_its_day(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    for number, status in enumerate((Status.SUCCESS, Status.FAILED, Status.SKIPPED, Status.SUCCESS)):
        run = await runs.trigger(DUE_ROW[0], f"t-{number}", NOON)
        assert isinstance(run, QueuedRun)
        for _ in range(2):
            await jobs.finish(
                job_of(run),
                FIRST,
                a_record(job_of(run), status=status),
                called=True,
                kept=KEPT,
                fail_reason="permanent",
            )
    day = f"{a_record(job_of('x')).completed_at:%Y-%m-%d}"
    assert await counts(store) == {
        "total": 4, "success": 2, "failed": 1, "skipped": 1, f"{day}:n": 4, f"{day}:s": 2, f"{day}:f": 1,
    }  # fmt: skip


async def test_only_the_latest_eight_days_are_counted_apart(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    for days in range(12):
        run = await runs.trigger(DUE_ROW[0], f"t-{days}", NOON)
        assert isinstance(run, QueuedRun)
        record = a_record(job_of(run))
        record = replace(
            record, started_at=record.started_at + days * DAY, completed_at=record.completed_at + days * DAY
        )
        await jobs.finish(job_of(run), FIRST, record, called=True, kept=KEPT)
    found = await counts(store)
    first = a_record(job_of("x")).completed_at
    assert found["total"] == 12
    assert sorted(name for name in found if name.endswith(":n")) == [
        f"{first + days * DAY:%Y-%m-%d}:n" for days in range(4, 12)
    ]


async def test_a_task_that_was_lost_from_the_list_of_all_is_over_with_its_run_and_listed_so_later(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore, scripts: Scripts, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await store.command("DEL", keys.API_TASKS)
    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)))
    assert (await known(tasks))[1].status is TaskStatus.COMPLETED

    indexes = ApiIndexes(store, scripts)
    await indexes.put_back(token, rest_s=0)

    assert await in_status(tasks) == {TaskStatus.COMPLETED: 1}
    assert not any((await indexes.sizes()).gaps)


@pytest.mark.parametrize(
    ("end_status", "task_status"),
    [
        (Status.SUCCESS, TaskStatus.COMPLETED),
        (Status.FAILED, TaskStatus.FAILED),
        (Status.CANCELLED, TaskStatus.FAILED),
    ],
)
async def test_a_task_that_was_to_run_once_is_over_with_its_run(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str, end_status: Status, task_status: TaskStatus
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)), end_status)
    assert await in_status(tasks) == {task_status: 1}


async def test_a_skipped_run_of_a_task_that_runs_once_is_made_up_for_when_the_task_is_resumed(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await tasks.set_paused(ONE, NOON)
    first = scheduled_job_id(ONE, API_USER, NOON)
    await end(jobs, job_of(first), Status.SKIPPED)
    await tasks.resume(ONE, NOON)

    (due,) = await runs.due(datetime.now(NOON.tzinfo) + DAY, 10)
    assert due.known is not None
    assert await fire(runs, token, due.known, now=datetime.now(NOON.tzinfo) + DAY) == [Fired.QUEUED]

    _, state = await known(tasks)
    assert state.last_execution_id not in {None, first}


@pytest.mark.parametrize("end_status", [Status.SUCCESS, Status.FAILED, Status.SKIPPED, Status.CANCELLED])
async def test_the_end_of_a_trigger_says_nothing_of_a_task_whose_only_run_is_on_its_way(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str, end_status: Status
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    run = await runs.trigger(row[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    await fire(runs, token, row)

    await end(jobs, job_of(run), end_status)
    assert (await in_status(tasks), (await known(tasks))[1].next_at) == ({TaskStatus.SCHEDULED: 1}, None)

    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)))
    assert await in_status(tasks) == {TaskStatus.COMPLETED: 1}


async def test_a_trigger_that_is_cancelled_takes_back_no_success_of_a_task_that_is_over(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)))
    run = await runs.trigger(row[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    await end(jobs, job_of(run), Status.CANCELLED)
    assert await in_status(tasks) == {TaskStatus.COMPLETED: 1}


async def test_the_end_of_a_run_says_nothing_of_a_task_that_was_put_to_another_instant(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await put_to(tasks, NOON + DAY)
    assert await fire(runs, token, await known(tasks), now=NOON + DAY) == [Fired.QUEUED]
    _, state = await known(tasks)
    assert state.last_execution_id is not None

    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)), Status.FAILED)
    assert await in_status(tasks) == {TaskStatus.SCHEDULED: 1}

    await end(jobs, job_of(state.last_execution_id))
    assert await in_status(tasks) == {TaskStatus.COMPLETED: 1}


async def test_a_task_that_is_put_back_to_an_instant_it_has_run_for_runs_again(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await end(jobs, job_of(scheduled_job_id(ONE, API_USER, NOON)), Status.FAILED)
    for instant in (NOON + DAY, NOON):
        await put_to(tasks, instant)
    assert await fire(runs, token, await known(tasks)) == [Fired.QUEUED]


async def test_a_run_that_is_skipped_between_two_attempts_is_not_made_up_for(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, token: str
) -> None:
    row = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(*row)
    await fire(runs, token, row)
    await tasks.set_paused(ONE, NOON)
    job = job_of(scheduled_job_id(ONE, API_USER, NOON), attempt=2)
    await jobs.finish(job, FIRST, a_record(job, status=Status.SKIPPED), called=False, kept=KEPT)
    assert await in_status(tasks) == {TaskStatus.FAILED: 1}
    assert await runs.next() is None


async def test_the_end_of_a_run_whose_task_is_gone_leaves_nothing_of_it_behind(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    run = await runs.trigger(DUE_ROW[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    await tasks.delete(ONE)
    await end(jobs, job_of(run))
    assert await store.command("EXISTS", keys.api_task(ONE), keys.api_stats(ONE)) == 0


async def test_a_cancelled_pending_run_ends_at_once(
    tasks: ApiTaskStore, runs: ApiRuns, cancellations: Cancellations, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    run = await runs.trigger(DUE_ROW[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    # Its message is in RabbitMQ: nothing but its record says whose it is.
    await store.command("DEL", keys.delayed_job(run.execution_id), keys.DELAYED)

    answer = await cancellations.cancel(run.execution_id)

    assert answer.outcome is CancelOutcome.CANCELLED
    assert (await counts(store))["cancelled"] == 1


async def test_the_retries_of_the_latest_run_alone_are_counted(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore
) -> None:
    await tasks.create(*DUE_ROW)
    first = await runs.trigger(DUE_ROW[0], "t-1", NOON)
    latest = await runs.trigger(DUE_ROW[0], "t-2", NOON)
    assert isinstance(first, QueuedRun)
    assert isinstance(latest, QueuedRun)
    for run, attempts in ((first, 3), (latest, 2)):
        for attempt in range(1, attempts):
            job = job_of(run, attempt=attempt)
            await jobs.admit(job, FIRST, terms())
            await jobs.postpone(
                job, FIRST, next_attempt=attempt + 1, until=NOON, body=b"m", record=a_record(job), kept=KEPT
            )
    assert (await known(tasks))[1].retry_count == 1


async def test_a_user_who_is_called_like_the_api_has_jobs_like_any_other(jobs: JobStore, store: RedisStore) -> None:
    job = job_of("some-job", task_id="daily_report")
    await end(jobs, job)
    assert await store.command("KEYS", "taskqueue:api:*") == []


async def test_what_another_hand_wrote_keeps_no_job_from_its_end(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, store: RedisStore
) -> None:
    await tasks.create(*DUE_ROW)
    run = await runs.trigger(DUE_ROW[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    for key in (keys.api_stats(ONE), keys.api_dependents(ONE), keys.API_WAITING):
        await store.command("SET", key, "not ours")
    await end(jobs, job_of(run))
    assert await store.command("GET", keys.done(run.execution_id)) == b"success"


# --- dependencies -----------------------------------------------------------------------------------------------------


async def test_a_due_task_waits_for_the_end_of_another_and_is_due_again_with_it(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, dependencies: DependencyStore, store: RedisStore, token: str
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await depend(dependencies, ONE, TWO, DependencyType.SUCCESS)
    assert await fire(runs, token, await known(tasks)) == [Fired.WAITING]
    assert await in_status(tasks) == {TaskStatus.WAITING: 1, TaskStatus.SCHEDULED: 1}
    assert (await known(tasks))[1].next_at == NOON

    run = await runs.trigger(a_new_task(2)[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    await end(jobs, job_of(run, TWO))

    assert await store.command("EXISTS", keys.API_WAITING) == 0
    assert await fire(runs, token, await known(tasks)) == [Fired.QUEUED]
    assert await in_status(tasks) == {TaskStatus.SCHEDULED: 2}
    message = decode_message(
        await store.command("HGET", keys.delayed_job(scheduled_job_id(ONE, API_USER, NOON)), "message")
    )
    assert message.metadata.source == "dependency"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(DependencyType),
    ends=st.tuples(*[st.none() | st.integers(1, 4)] * 3),
    since=st.none() | st.integers(1, 4),
)
async def test_a_dependency_is_met_by_an_end_of_its_kind_after_the_previous_run_of_the_task(
    tasks: ApiTaskStore,
    runs: ApiRuns,
    dependencies: DependencyStore,
    store: RedisStore,
    token: str,
    kind: DependencyType,
    ends: Sequence[int | None],
    since: int | None,
) -> None:
    await store.command("FLUSHDB")
    await store.command("SET", keys.LEASE, token)
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await depend(dependencies, ONE, TWO, kind)
    instants = [None if end is None else TEN_O_CLOCK + end * SECOND for end in ends]
    for name, instant in zip(("success", "completion", "any"), instants, strict=True):
        if instant is not None:
            await store.command("HSET", keys.api_task(TWO), f"ended_{name}", to_unix_ms(instant))
    last = None if since is None else TEN_O_CLOCK + since * SECOND
    if last is not None:
        await store.command("HSET", keys.api_task(ONE), "last_at", to_unix_ms(last))

    fired = await fire(runs, token, await known(tasks))

    ended = dict(zip(DependencyType, instants, strict=True))[kind]
    is_met = ended is not None and (last is None or ended > last)
    assert fired == [Fired.QUEUED if is_met else Fired.WAITING]


async def test_every_task_that_waits_for_one_is_due_with_its_end(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, dependencies: DependencyStore, store: RedisStore, token: str
) -> None:
    children = [numbered_id(number) for number in range(2, 5)]
    await tasks.create_many([a_new_task(number) for number in range(1, 5)])
    for child, kind in zip(children, DependencyType, strict=True):
        await depend(dependencies, child, ONE, kind)
    waiting = [await known(tasks, child) for child in children]
    assert await fire(runs, token, *waiting) == [Fired.WAITING] * 3
    run = await runs.trigger(a_new_task(1)[0], "t-1", NOON)
    assert isinstance(run, QueuedRun)
    await end(jobs, job_of(run))
    again = [await known(tasks, child) for child in children]
    assert await fire(runs, token, *again) == [Fired.QUEUED] * 3


async def test_a_chain_runs_one_after_the_other(
    tasks: ApiTaskStore, runs: ApiRuns, jobs: JobStore, dependencies: DependencyStore, token: str
) -> None:
    chain = [numbered_id(number) for number in range(1, 5)]
    await tasks.create_many([a_new_task(number) for number in range(1, 5)])
    for parent, child in pairwise(chain):
        await depend(dependencies, child, parent, DependencyType.COMPLETION)
    for count in range(len(chain)):
        rows = [await known(tasks, task_id) for task_id in chain[count:]]
        fired = await fire(runs, token, *rows)
        assert fired == [Fired.QUEUED, *[Fired.WAITING] * (len(rows) - 1)]
        await end(jobs, job_of(scheduled_job_id(chain[count], API_USER, NOON), chain[count]))
