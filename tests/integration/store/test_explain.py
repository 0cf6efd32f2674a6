"""What an explanation reads, on a Redis in which nothing runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.explanation import Explanation, Place
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.occurrence import Progress, scheduled_occurrence_id
from taskqueue.core.task import Overlap, Task
from taskqueue.core.verdict import Verdict
from taskqueue.core.wait import WaitReason, WaitRecord
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.explain import Explainer, ExplainRefusal
from taskqueue.store.jobs import JobStore
from taskqueue.store.limit_overrides import LimitOverrides, Override
from taskqueue.store.limits import Limit, Limits, LimitStore
from taskqueue.store.plan import Begun, PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import a_new_task
from tests.support.claims import FIRST, KEPT, due_job, terms
from tests.support.values import TEN_O_CLOCK, a_task, an_occurrence

NOW = TEN_O_CLOCK + timedelta(minutes=5)
HOUR = timedelta(hours=1)
EVERY_HOUR = Every(kind=EveryKind.HOURLY, value=1)
HOSTILE = ["a:b", "x:settings:daily_report", "{user}", "line\nfeed", "\u202eüser 💥", "*", "'; drop"]


@pytest.fixture
def explainer(store: RedisStore, scripts: Scripts) -> Explainer:
    return Explainer(store, scripts)


async def in_force(store: RedisStore, scripts: Scripts, token: str, *tasks: Task) -> None:
    """Put the tasks in force, as the leader does."""
    await CatalogStore(store, scripts).write(token, {task.id: task for task in tasks}, "r1")


@pytest.fixture(autouse=True)
async def task(store: RedisStore, scripts: Scripts, token: str) -> Task:
    """An hourly task that is in force."""
    task = a_task(interval=EVERY_HOUR)
    await in_force(store, scripts, token, task)
    return task


async def explained(explainer: Explainer, user: str = "ada", at: datetime | None = None) -> Explanation:
    found = await explainer.explain("daily_report", user, at=at, now=NOW)
    assert isinstance(found, Explanation)
    return found


@pytest.mark.parametrize("user", HOSTILE)
async def test_any_user_id_is_looked_up_as_it_is(explainer: Explainer, store: RedisStore, user: str) -> None:
    await store.command("HSET", keys.user_tasks(user), "daily_report", "1")

    found = await explained(explainer, user)

    assert found.preference is not None
    assert (found.user_id, found.preference.decided.enabled) == (user, True)


async def test_the_users_own_interval_says_which_instant_is_meant(explainer: Explainer, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("ada"), "daily_report", "1")
    own = json.dumps({"type": "daily", "at_time": "08:30"})
    await store.command("HSET", keys.user_settings("ada", "daily_report"), "custom_interval", own)

    found = await explained(explainer)

    assert found.occurrence is not None
    assert found.occurrence.scheduled_at == TEN_O_CLOCK - 1.5 * HOUR
    assert found.preference is not None
    assert (found.preference.interval or {})["at_time"] == "08:30"


async def test_an_interval_that_is_none_is_told_and_does_not_count(explainer: Explainer, store: RedisStore) -> None:
    await store.command("HSET", keys.user_settings("ada", "daily_report"), "custom_interval", '{"type": "yearly"}')

    found = await explained(explainer)

    assert found.occurrence is not None
    assert found.occurrence.scheduled_at == TEN_O_CLOCK
    assert found.preference is not None
    assert "yearly" in (found.preference.problem or "")


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)], ids=str)
async def test_the_ends_of_time_can_be_asked_about(
    explainer: Explainer, store: RedisStore, scripts: Scripts, at: datetime
) -> None:
    task, state = a_new_task(1)
    await ApiTaskStore(store, scripts).create(task, state)

    assert isinstance(await explainer.explain("daily_report", "ada", at=at, now=NOW), Explanation)
    assert isinstance(await explainer.explain(task.task_id, None, at=at, now=NOW), Explanation)


async def test_a_job_whose_worker_is_gone_waits_for_another_one(
    explainer: Explainer, jobs: JobStore, store: RedisStore
) -> None:
    job_id = scheduled_job_id("daily_report", "ada", TEN_O_CLOCK)
    await jobs.admit(due_job(id=job_id, user_id="ada"), FIRST, terms())

    found = await explained(explainer)

    assert found.verdict is Verdict.WORKER_LOST
    await jobs.beat(FIRST.incarnation, "{}", timedelta(minutes=1))
    assert (await explained(explainer)).verdict is Verdict.RUNNING


async def test_a_job_that_came_early_waits_for_its_time(explainer: Explainer, jobs: JobStore) -> None:
    job = due_job(id=scheduled_job_id("daily_report", "ada", TEN_O_CLOCK), user_id="ada")
    wait = WaitRecord(since=NOW - timedelta(seconds=3), attempt=1, reason=WaitReason.EARLY)
    until = NOW + timedelta(seconds=4)
    await jobs.postpone(job, FIRST, next_attempt=1, until=until, body=b"", record=None, kept=KEPT, wait=wait)

    found = await explained(explainer)

    assert found.verdict is Verdict.WAITS_FOR_TIME
    assert found.job is not None
    assert (found.job.place, found.job.next_attempt_at) == (Place.DELAYED, until)
    assert found.job.as_dict(NOW, None)["waits"] == [
        {
            "reason": "early",
            "limit": None,
            "attempt": 1,
            "since": "2024-01-15T10:04:57Z",
            "until": None,
            "duration_ms": 3000,
        }
    ]


async def test_an_occurrence_that_waits_for_the_one_before_it_is_told(
    explainer: Explainer, store: RedisStore, scripts: Scripts, token: str
) -> None:
    await in_force(store, scripts, token, a_task(interval=EVERY_HOUR, overlap=Overlap.QUEUE))
    await store.command("HSET", keys.user_tasks("ada"), "daily_report", "1")
    plan, before, over_by = PlanStore(store, scripts), TEN_O_CLOCK - HOUR, NOW + 24 * HOUR
    entry = DueEntry(task_id="daily_report", cohort="", at=before)
    await plan.due.sync(token, remove=[], keep=[(entry.member, "rule", before)])
    running = an_occurrence(id="first", scheduled_at=before, starts_at=before, over_by=over_by)
    await plan.begin(token, entry, TEN_O_CLOCK, running, Overlap.QUEUE)
    held = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
    second = an_occurrence(id="second", over_by=over_by, created_at=NOW)
    assert await plan.begin(token, held, TEN_O_CLOCK + HOUR, second, Overlap.QUEUE) is Begun.HELD

    assert (await explained(explainer)).verdict is Verdict.WAITS_FOR_PREVIOUS


async def test_a_job_that_is_held_back_in_its_slot_says_which_limits_hold(
    explainer: Explainer, store: RedisStore, scripts: Scripts, token: str
) -> None:
    await LimitStore(store, scripts).write(
        Limits(global_=Limit(rate=50, burst=5), tasks={"daily_report": Limit(rate=9, burst=9)})
    )
    stop = Override(limit=Limit(rate=0, burst=1), until=datetime.now(UTC) + HOUR)
    await LimitOverrides(store, scripts).set("task:daily_report", stop)
    await in_a_slot(store, scripts, token, "ada")

    found = await explained(explainer)

    assert found.verdict is Verdict.HELD_BACK
    assert found.job is not None
    assert [(limit.name, limit.in_force) for limit in found.job.limits] == [
        ("global", "50 jobs per second, 5 at once"),
        ("task:daily_report", "0 jobs per second, 1 at once"),
    ]


async def in_a_slot(store: RedisStore, scripts: Scripts, token: str, user: str) -> None:
    """Plan the occurrence at ten for this user alone."""
    await store.command("HSET", keys.user_tasks(user), "daily_report", "1")
    plan, entry = PlanStore(store, scripts), DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
    await plan.due.sync(token, remove=[], keep=[(entry.member, "rule", TEN_O_CLOCK)])
    occurrence = an_occurrence(id=scheduled_occurrence_id("", TEN_O_CLOCK), users=1, window=timedelta(0))
    await plan.begin(token, entry, TEN_O_CLOCK + HOUR, occurrence)
    await plan.append(token, occurrence, Progress(), [user], f"{0:016x}:{user}", last=True)


async def test_what_nobody_has_planned_is_told(explainer: Explainer, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("ada"), "daily_report", "1")
    assert (await explained(explainer)).verdict is Verdict.NOT_PLANNED
    await store.command("ZADD", keys.DUE, int(TEN_O_CLOCK.timestamp() * 1000), "daily_report")

    assert (await explained(explainer)).verdict is Verdict.NOT_PLANNED_YET


async def test_users_and_tasks_that_do_not_go_together_are_refused(
    explainer: Explainer, store: RedisStore, scripts: Scripts
) -> None:
    task, state = a_new_task(1)
    await ApiTaskStore(store, scripts).create(task, state)

    refused = [
        await explainer.explain("no_such", "ada", at=None, now=NOW),
        await explainer.explain("daily_report", None, at=None, now=NOW),
        await explainer.explain(task.task_id, "ada", at=None, now=NOW),
    ]

    assert refused == [ExplainRefusal.NO_SUCH_TASK, ExplainRefusal.USER_MISSING, ExplainRefusal.NO_USERS]


async def test_a_key_that_holds_something_else_is_named(explainer: Explainer, store: RedisStore) -> None:
    await store.command("SET", keys.DUE, "nonsense")

    with pytest.raises(DamagedKeyError, match="taskqueue:due"):
        await explained(explainer)


async def test_nothing_is_written(explainer: Explainer, store: RedisStore) -> None:
    before = await store.command("DBSIZE"), await store.command("LASTSAVE"), await changes(store)

    await explained(explainer)

    assert (await store.command("DBSIZE"), await store.command("LASTSAVE"), await changes(store)) == before


async def changes(store: RedisStore) -> int:
    info = await store.command("INFO", "persistence")
    return int(info["rdb_changes_since_last_save"])
