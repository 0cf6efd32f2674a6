"""Every write that belongs to the leader: with a token that is not the lease's, nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from taskqueue.assets import asset_dir
from taskqueue.core.occurrence import Progress
from taskqueue.core.skipped import SkippedInstants
from taskqueue.errors import DamagedKeyError, LeaseLostError
from taskqueue.store import keys
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_runs import ApiRuns, Move
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.delayed import DelayedJob, DelayedStore
from taskqueue.store.due import DueEntry
from taskqueue.store.file_task_list import FileTaskList
from taskqueue.store.jobs import JobStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.api_firing import fire, known
from tests.support.api_values import a_new_task, numbered_id
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.contents import everything
from tests.support.values import TEN_O_CLOCK, a_task, an_occurrence

Snapshot = Callable[[], Awaitable[object]]

ENTRY = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
OCCURRENCE = an_occurrence(users=2)
WAITING = DelayedJob(job_id="waiting", due=TEN_O_CLOCK, body=b"message", generation=1, place=0)
PLANNED = Progress(cursor="b", planned=2, complete=True)


class Writes:
    """One method for each of the leader's writes, by the name of its script."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self.plan = PlanStore(store, scripts)
        self.delayed = DelayedStore(store, scripts)
        self.catalog = CatalogStore(store, scripts)
        self.damaged = DamagedKeys(scripts, lambda _: None)
        self.file_tasks = FileTaskList(store, scripts)
        self._api_tasks = ApiTaskStore(store, scripts)
        self._api_runs = ApiRuns(store, scripts)
        self._api_indexes = ApiIndexes(store, scripts)
        self.scripts = scripts

    async def due_sync(self, token: str) -> None:
        await self.plan.due.sync(token, remove=["gone"], keep=[(ENTRY.member, "another rule", TEN_O_CLOCK)])

    async def due_skipped(self, token: str) -> None:
        until = TEN_O_CLOCK + timedelta(hours=1)
        skipped = SkippedInstants(first=TEN_O_CLOCK, until=until, reason="missed", noted_at=until)
        await self.plan.due.note_skipped(token, [(ENTRY.member, skipped)])

    async def due_hold(self, token: str) -> None:
        await self.plan.due.hold(token, ENTRY)

    async def due_look_again(self, token: str) -> None:
        await self.plan.due.look_again(token)

    async def plan_begin(self, token: str) -> None:
        await self.plan.begin(token, ENTRY, None, an_occurrence(id="new"))

    async def plan_append(self, token: str) -> None:
        await self.plan.append(token, OCCURRENCE, PLANNED, ["c"], "c", last=True)

    async def set_aside(self, token: str) -> None:
        key = keys.slot(OCCURRENCE.task_id, 0, "")
        await self.damaged.set_aside(token, DamagedKeyError(key, "has no sense", unreadable=True))

    async def entry_remove(self, token: str) -> None:
        await self.damaged.set_aside(
            token, DamagedKeyError(keys.OCCURRENCES, "has no sense", member=b"daily_report:gone")
        )

    async def slot_trim(self, token: str) -> None:
        await self.plan.trim_slot(token, OCCURRENCE, PLANNED, first_user="a", count=1)

    async def occurrence_open(self, token: str) -> None:
        await self.plan.open(token, OCCURRENCE)

    async def occurrence_abandon(self, token: str) -> None:
        await self.plan.abandon(token, OCCURRENCE, PLANNED)

    async def occurrence_close(self, token: str) -> None:
        await self.plan.close(token, "daily_report:gone")

    async def delayed_remove(self, token: str) -> None:
        await self.delayed.remove(token, [WAITING])

    async def delayed_move(self, token: str) -> None:
        await self.delayed.move(token, [WAITING], "global")

    async def lane_tail(self, token: str) -> None:
        await self.delayed.raise_lane_tail(token, TEN_O_CLOCK, 1000)

    async def catalog_write(self, token: str) -> None:
        await self.catalog.write(token, {"daily_report": a_task()}, "r2")

    async def file_tasks_list(self, token: str) -> None:
        await self.file_tasks.write(token, {"daily_report": a_task()}, frozenset(), TEN_O_CLOCK)

    async def api_fire(self, token: str) -> None:
        await fire(self._api_runs, token, await known(self._api_tasks))

    async def api_due_again(self, token: str) -> None:
        await self._api_runs.put_back(token)

    async def api_due_move(self, token: str) -> None:
        row = await known(self._api_tasks)
        await self._api_runs.move(token, [Move(task_id=row[0].task_id, at=TEN_O_CLOCK, known=row)])

    async def api_relist(self, token: str) -> None:
        await self._api_indexes.put_back(token, rest_s=0)

    async def lease(self, token: str) -> None:
        await self.scripts.call("lease", [keys.LEASE], [token, 0])


LEADERS_SCRIPTS = sorted(
    path.stem for path in asset_dir("lua").glob("*.lua") if "\nrequire_lease(" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def snapshot(store: RedisStore) -> Snapshot:
    """Call it for everything that stands in the database, whatever way Redis keeps it."""
    return partial(everything, store)


@pytest.fixture
async def writes(store: RedisStore, scripts: Scripts, token: str) -> Writes:
    """The writes, on a Redis where each of them has something to change."""
    writes = Writes(store, scripts)
    await writes.plan.due.sync(token, remove=[], keep=[(ENTRY.member, "rule", TEN_O_CLOCK)])
    await writes.plan.begin(token, ENTRY, TEN_O_CLOCK, OCCURRENCE)
    await writes.plan.append(token, OCCURRENCE, Progress(), ["a", "b"], "b", last=True)
    await store.command("ZADD", keys.OCCURRENCES, 1, "daily_report:gone")
    await store.command("HSET", keys.DUE_HELD_INSTANTS, "held", 1)
    await writes.catalog.write(token, {}, "r1")
    for number in (1, 2):
        assert await ApiTaskStore(store, scripts).create(*a_new_task(number))
    await store.command("ZREM", keys.API_DUE, numbered_id(2))
    await store.command("ZREM", keys.API_NAMES, *await store.command("ZRANGE", keys.API_NAMES, 0, 0))
    await JobStore(store, scripts).postpone(
        due_job(id="waiting"), FIRST, next_attempt=1, until=TEN_O_CLOCK, body=b"message", record=None, kept=KEPT
    )
    return writes


def test_every_script_of_the_leader_is_tested() -> None:
    assert sorted(name for name in vars(Writes) if not name.startswith("_")) == LEADERS_SCRIPTS


@pytest.mark.parametrize("script", LEADERS_SCRIPTS)
async def test_the_leader_changes_something(writes: Writes, token: str, snapshot: Snapshot, script: str) -> None:
    before = await snapshot()
    await getattr(writes, script)(token)
    assert await snapshot() != before


@pytest.mark.parametrize("script", LEADERS_SCRIPTS)
@pytest.mark.parametrize("now_held_by", ["scheduler-2:fedcba9876543210", None], ids=["another", "nobody"])
async def test_a_former_leader_writes_nothing_anywhere(
    writes: Writes, token: str, store: RedisStore, snapshot: Snapshot, script: str, now_held_by: str | None
) -> None:
    await store.command(*(("DEL", keys.LEASE) if now_held_by is None else ("SET", keys.LEASE, now_held_by)))
    before = await snapshot()
    with pytest.raises(LeaseLostError):
        await getattr(writes, script)(token)
    assert await snapshot() == before
