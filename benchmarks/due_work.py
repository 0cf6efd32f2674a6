"""What due work costs: a tick while so many tasks are idle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from peers import Peers
from report import Goal, Measure, Report
from stage import Stage

from taskqueue.assets import asset_dir
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import DamagedKeyError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.planner import PlanDefaults, Planner
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import Switches
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.scheduler_events import OccurrencePlanned

TASK = "nightly"
_TOKEN = "benchmark"

#: far enough to be idle however long this runs
_IDLE_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
_ADDED_AT_ONCE = 10_000

#: each minute a piece of a thousand entries is looked at, and those without a rule go, which these idle ones are; the
#: planner's clock makes an hour of each tick
_NEVER = timedelta(days=36_500)

#: one tick is short: so many of them are one measurement
_TICKS = 50

#: beat needs seconds for each tick of more, APScheduler a minute to take them in
_PEERS_UP_TO = 10_000


@dataclass(slots=True)
class Clock:
    """The time that the planner is told."""

    now: datetime = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return it."""
        return self.now


@dataclass(frozen=True, slots=True)
class Desk:
    """A planner in this process, on real Redis, with a clock of its own."""

    planner: Planner
    clock: Clock
    planned: list[OccurrencePlanned]

    async def tick(self) -> None:
        """What the leader does each time it wakes: plan what is due, ask when to wake again."""
        await self.planner.tick(_TOKEN)
        await self.planner.next_wake()


async def desk(place: Stage, index: AudienceIndex, interval: Mapping[str, object], window_s: float) -> Desk:
    """Return a planner of one task that holds the lease."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.yaml"
        task = {"id": TASK, "interval": dict(interval), "config": {"endpoint": "http://localhost:9/"}}
        path.write_text(yaml.safe_dump({"tasks": [task]}), encoding="utf-8")
        watch = CatalogWatch(path, poll_interval=timedelta(1), allow_mass_delete=False, emit=lambda _: None)
    await place.store.command("SET", keys.LEASE, _TOKEN)
    planned: list[OccurrencePlanned] = []

    def note(event: Event) -> None:
        if isinstance(event, OccurrencePlanned):
            planned.append(event)

    clock = Clock()
    plan = PlanStore(place.store, Scripts(place.store, asset_dir("lua")))
    defaults = PlanDefaults(distribution_window=timedelta(seconds=window_s), batch_size=1000, check_interval=_NEVER)
    return Desk(Planner(plan, index, watch, defaults, set_aside=_damaged, now=clock, emit=note), clock, planned)


# --- idle tasks -------------------------------------------------------------------------------------------------------


async def measure(place: Stage, report: Report, peers: Peers, sizes: Sequence[int]) -> None:
    """Add the cost of a tick with each number of idle entries, and that of the peers where they can do it."""
    report.part("due work: one tick while nothing, or one task, is due")
    index = AudienceIndex()
    index.apply(Switches(user_id="user", on=frozenset({TASK})))
    at = await desk(place, index, {"type": "hourly"}, 0)
    await at.tick()
    sides: dict[str, Measure] = {}
    for size in sizes:
        await _add_idle(place.store, size)
        sides[_name("taskqueue", size, "nothing")] = partial(_ticks, place.store, at, size, due=False)
        sides[_name("taskqueue", size, "one task")] = partial(_ticks, place.store, at, size, due=True)
        if peers.available and size <= _PEERS_UP_TO:
            sides[_name("celery beat", size, "nothing")] = _asked(peers, "beat_tick", size)
            sides[_name("APScheduler 3 in memory", size, "nothing")] = _asked(peers, "aps_tick", size)
    costs = await report.compare("ms", sides, lower_is_better=True)
    for what in ("nothing", "one task"):
        ratio = costs[_name("taskqueue", sizes[-1], what)] / costs[_name("taskqueue", sizes[0], what)]
        # Redis keeps the due work in a skip list: a thousand times the entries are ten levels more.
        report.figure(f"{sizes[-1]:,} idle tasks against {sizes[0]:,}, {what} due", ratio, "ratio", Goal(bound=1.5))
    await place.store.command("UNLINK", *(_shelf(size) for size in sizes))
    await place.end_all()


def _name(who: str, idle: int, due: str) -> str:
    return f"{who}, {idle:,} idle, {due} due"


def _shelf(size: int) -> str:
    return f"benchmark:due:{size}"


async def _add_idle(store: RedisStore, size: int) -> None:
    """Lay so many idle entries aside, to be put in the place of the due work when their turn comes."""
    for first in range(0, size, _ADDED_AT_ONCE):
        numbers = range(first, min(first + _ADDED_AT_ONCE, size))
        flat: list[Argument] = [text for n in numbers for text in (to_unix_ms(_IDLE_UNTIL) + n, f"idle_{n}")]
        await store.command("ZADD", _shelf(size), *flat)


async def _ticks(store: RedisStore, at: Desk, size: int, *, due: bool) -> float:
    """Return the milliseconds of one tick with so many entries idle; each with one task due, or with nothing."""
    mine = await store.command("ZSCORE", keys.DUE, TASK)
    await store.command("RENAME", keys.DUE, "benchmark:due")
    await store.command("RENAME", _shelf(size), keys.DUE)
    await store.command("ZADD", keys.DUE, mine, TASK)
    cost = await (_due_ticks(at) if due else _idle_ticks(at))
    if (left := await store.command("ZCARD", keys.DUE)) != size + 1:
        raise SystemExit(f"{left} entries are left of {size} idle ones and one more")
    mine = await store.command("ZSCORE", keys.DUE, TASK)
    await store.command("RENAME", keys.DUE, _shelf(size))
    await store.command("RENAME", "benchmark:due", keys.DUE)
    await store.command("ZADD", keys.DUE, mine, TASK)
    return cost


async def _idle_ticks(at: Desk) -> float:
    began = time.perf_counter()
    for _ in range(_TICKS):
        await at.tick()
    return (time.perf_counter() - began) / _TICKS * 1e3


async def _due_ticks(at: Desk) -> float:
    before = len(at.planned)
    began = time.perf_counter()
    for _ in range(_TICKS):
        at.clock.now += timedelta(hours=1)
        await at.tick()
    cost = (time.perf_counter() - began) / _TICKS * 1e3
    if len(at.planned) - before != _TICKS:
        raise SystemExit(f"{len(at.planned) - before} of {_TICKS} occurrences planned")
    return cost


def _asked(peers: Peers, question: str, entries: int) -> Measure:
    async def ask() -> float:
        return float(await peers.ask(question, entries=entries)) * 1e3

    return ask


async def _damaged(_token: str, error: DamagedKeyError) -> None:
    raise error
