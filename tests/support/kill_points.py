"""The moments at which a scheduler is killed, and the work that leads it there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from taskqueue.store import keys
from tests.support.failpoints import Failpoint, When, script
from tests.support.inbox import eventually
from tests.support.kill_arena import DONE_WITHIN_S, KillArena
from tests.support.system import Settings

_DUE = "taskqueue:due"
_LIVE = "taskqueue:occurrences"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillPoint:
    """`work` leads the leader to `failpoint`; with `successor` it is the next leader that dies there.

    With `then` the next leader dies as well, at that moment. `scheduler` is added to the settings of every scheduler,
    `worker` to those of the worker.
    """

    name: str
    failpoint: Failpoint
    work: Callable[[KillArena], Awaitable[None]]
    #: tasks that the work needs, by id, with the path of the endpoint and their fields
    tasks: Sequence[tuple[str, str, dict[str, object]]] = ()
    successor: bool = False
    then: Failpoint | None = None
    scheduler: Settings = field(default_factory=dict)
    worker: Settings = field(default_factory=dict)


# --- work -------------------------------------------------------------------------------------------------------------


async def due(arena: KillArena) -> None:
    """Let an occurrence for all users become due in a second."""
    at = _come()
    arena.ledger.expect("due", arena.users, at)
    await _make_due(arena, "due", at)


async def due_together(arena: KillArena) -> None:
    """Let occurrences of a few users each become due at one instant: they are planned beside each other."""
    users = arena.users[:3]
    for task_id, *_ in _SMALL_TASKS:
        await arena.system.enable(task_id, *users)
        await eventually(partial(_has_users, arena, task_id, len(users)), DONE_WITHIN_S)
    at = _instant(seconds=6)
    for task_id, path, fields in _SMALL_TASKS:
        arena.ledger.expect(task_id, users, at)
        arena.set_task(task_id, path, **fields, interval=_daily(at))


async def _has_users(arena: KillArena, task_id: str, users: int) -> bool:
    answers = [await scheduler.http.get(f"/schedule/status/{task_id}") for scheduler in arena.schedulers]
    return all(answer.json().get("enabled_users") == users for answer in answers)


async def missed_without_catch_up(arena: KillArena) -> None:
    """Let an occurrence be found an hour late by a task that makes up for nothing: nobody is called."""
    late = datetime.now(UTC) - timedelta(hours=1)
    await _make_due(arena, "forgetful", late)

    async def moved() -> bool:
        return (await arena.system.redis.zscore(_DUE, "forgetful") or 0) > late.timestamp() * 1000 + 1

    await eventually(moved, DONE_WITHIN_S)


async def catch_up(arena: KillArena) -> None:
    """Add a daily task whose last three instants were missed."""
    instant = _instant(seconds=12 * 3600)
    task_id = f"daily-{len(arena.tasks)}"
    missed = [instant - timedelta(days=days) for days in (3, 2, 1)]
    for at in missed:
        arena.ledger.expect(task_id, arena.users, at)
    arena.set_task(task_id, interval=_daily(instant))
    await _make_due(arena, task_id, missed[0])


async def reload(arena: KillArena) -> None:
    """Add a task to tasks.yaml and let it become due at once."""
    task_id = f"added-{len(arena.tasks)}"
    arena.set_task(task_id)
    at = _come()
    arena.ledger.expect(task_id, arena.users, at)
    await _make_due(arena, task_id, at)


async def trigger(arena: KillArena) -> None:
    """Ask for jobs that are due now."""
    await arena.trigger("plain", immediately=True)


async def spread(arena: KillArena) -> None:
    """Ask for jobs over two seconds: they go through the delayed queue."""
    await arena.trigger("spread", immediately=False)


async def retries(arena: KillArena) -> None:
    """Ask for jobs whose first attempt fails."""
    await arena.trigger("failing", immediately=True)


async def held(arena: KillArena) -> None:
    """Add a task that is due in some seconds, and is held until exactly then."""
    at, task_id = _instant(seconds=6), f"held-{len(arena.tasks)}"
    arena.ledger.expect(task_id, arena.users, at)
    arena.set_task(task_id, overlap="queue", interval=_daily(at))


async def one_behind_the_other(arena: KillArena) -> None:
    """Let an occurrence become due while the jobs of the one before it run: it waits for their ends."""
    calls = len(arena.system.calls(task="long"))
    first = _come(seconds_ago=2)
    arena.ledger.expect("long", arena.users, first)
    await _make_due(arena, "long", first)

    async def called() -> bool:
        return len(arena.system.calls(task="long")) > calls or await arena.system.redis.zcard(_LIVE) > 0

    await eventually(called, DONE_WITHIN_S)
    second = first + timedelta(seconds=1)
    arena.ledger.expect("long", arena.users, second)
    await _make_due(arena, "long", second)


async def crowd(arena: KillArena) -> None:
    """Ask for jobs whose first attempt fails, of which few may start in a second: their retries wait for the limit."""
    await arena.trigger("crowded", immediately=True)


async def removal(arena: KillArena) -> None:
    """Take a task out of tasks.yaml whose occurrence is planned and not due yet: nobody is called."""
    task_id = f"doomed-{datetime.now(UTC):%H%M%S%f}"
    arena.set_task(task_id, distribution_window="8h", interval=_daily(_instant(seconds=50)))
    redis = arena.system.redis

    async def planned() -> bool:
        (member,) = await redis.zrange(_LIVE, 0, 0) or [b":"]
        return await redis.hget(keys.occurrence(*member.decode().split(":", 1)), "state") == b"planned"

    await eventually(planned, DONE_WITHIN_S)
    arena.remove_task(task_id)


async def damage(arena: KillArena) -> None:
    """Put a text where the names of limits are that jobs wait for, and ask for jobs that are due now."""
    await arena.system.redis.set(keys.WAITING, "what")
    await trigger(arena)


def _instant(*, seconds: int) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def _daily(at: datetime) -> dict[str, str]:
    """Return a rule that has this instant."""
    return {"type": "daily", "at_time": f"{at:%H:%M:%S}"}


def _come(*, seconds_ago: float = 0) -> datetime:
    """Return an instant that has come: one to come that its rule does not have would be set right."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


async def _make_due(arena: KillArena, task_id: str, at: datetime) -> None:
    redis = arena.system.redis

    async def known() -> bool:
        return await redis.zscore(_DUE, task_id) is not None

    await eventually(known, DONE_WITHIN_S)
    await redis.zadd(_DUE, {task_id: round(at.timestamp() * 1000)}, xx=True)


# --- moments ----------------------------------------------------------------------------------------------------------

_DUE_TASK = ("due", "/ok", {"distribution_window": "1s"})
_SMALL_TASKS = tuple((f"small-{number}", "/ok", {"default_enabled": False, "overlap": "skip"}) for number in range(3))
_FORGETFUL_TASK = ("forgetful", "/ok", {"catch_up": "none"})
_SPREAD_TASK = ("spread", "/ok", {"distribution_window": "2s"})
_FAILING_TASK = ("failing", "/fail/1", {})
_LONG_TASK = ("long", "/slow/3500", {"overlap": "queue"})
_CROWDED_TASK = ("crowded", "/fail/1", {})


def _planning(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=due, tasks=[_DUE_TASK])


def _together(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=due_together, tasks=_SMALL_TASKS)


def _release(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=trigger)


def _lane(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=spread, tasks=[_SPREAD_TASK])


def _retry(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=retries, tasks=[_FAILING_TASK])


def _reload(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=reload)


def _behind(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=one_behind_the_other, tasks=[_LONG_TASK])


def _limited(name: str, failpoint: Failpoint) -> KillPoint:
    limits = {"rate_limit": {"per_task": {"crowded": 15}}}
    return KillPoint(name=name, failpoint=failpoint, work=crowd, tasks=[_CROWDED_TASK], worker=limits)


def _removed(name: str, failpoint: Failpoint) -> KillPoint:
    # Its jobs must not be in RabbitMQ when it is removed.
    settings = {"scheduler": {"lead": "1s"}, "tasks": {"removed": "drain"}}
    return KillPoint(name=name, failpoint=failpoint, work=removal, scheduler=settings)


def _from_list(when: When) -> Failpoint:
    return Failpoint(target="taskqueue.store.delayed:DelayedStore.remove", when=when, word="task:crowded")


def _publish(when: When, count: int = 1) -> Failpoint:
    # Of all that is published, the jobs: the delayed queue is probed beside them.
    return Failpoint(target="taskqueue.scheduler.release:Releaser._fly", when=when, count=count)


#: a piece of the messages is written to the socket
_SENT = "taskqueue.broker.confirms:ConfirmChannel.send"

#: RabbitMQ has said yes or no to a message
_CONFIRMED = "taskqueue.broker.confirms:Flight._on_word"


POINTS: Sequence[KillPoint] = (
    _planning("before an occurrence is opened", script("plan_begin", "before")),
    _planning("after an occurrence is opened, before its first users", script("plan_begin", "after")),
    _planning("between two pieces of a plan", script("plan_append", "after")),
    _planning("before the last piece of a plan", script("plan_append", "before", 3)),
    _planning("after the last piece of a plan", script("plan_append", "after", 3)),
    _planning("before an instant is noted as come", script("occurrence_open", "before")),
    _planning("after an instant is noted as come", script("occurrence_open", "after")),
    _together("with one of several occurrences opened", script("plan_begin", "after")),
    _together("with one of several occurrences planned", script("plan_append", "after")),
    KillPoint(name="between two instants of a catch-up", failpoint=script("plan_begin", "after", 2), work=catch_up),
    KillPoint(
        name="after a missed instant is passed over",
        failpoint=script("plan_begin", "after"),
        work=missed_without_catch_up,
        tasks=[_FORGETFUL_TASK],
    ),
    KillPoint(
        name="before what was passed over is noted",
        failpoint=script("due_skipped", "before"),
        work=missed_without_catch_up,
        tasks=[_FORGETFUL_TASK],
    ),
    KillPoint(
        name="in a plan, and the next leader in the rest of it",
        failpoint=script("plan_append", "after"),
        then=script("plan_append", "after"),
        work=due,
        tasks=[_DUE_TASK],
    ),
    KillPoint(name="before an occurrence is held", failpoint=script("due_hold", "before"), work=held),
    KillPoint(name="after an occurrence is held", failpoint=script("due_hold", "after"), work=held),
    _behind("after an occurrence is put behind the one before it", script("plan_begin", "after", 2)),
    _behind("before an occurrence follows the one before it", script("plan_begin", "before", 3)),
    _behind("after an occurrence has followed the one before it", script("plan_begin", "after", 3)),
    _release("before publishing", _publish("before")),
    _release("with messages sent and none confirmed", Failpoint(target=_SENT, when="after")),
    _release("after the first confirm", Failpoint(target=_CONFIRMED, when="after")),
    _release("after half of the confirms", Failpoint(target=_CONFIRMED, when="after", count=15)),
    _release("after all confirms, before the trim", _publish("after")),
    _release("after the trim, before the next piece", script("slot_trim", "after")),
    _release("after the last trim", script("slot_trim", "after", 3)),
    KillPoint(
        name="before the trim, and the next leader before the same trim",
        failpoint=_publish("after"),
        then=_publish("after"),
        work=trigger,
    ),
    _release("before a finished occurrence is closed", script("occurrence_close", "before")),
    _release("after a finished occurrence is closed", script("occurrence_close", "after")),
    _lane("before the lane's tail is raised", script("lane_tail", "before")),
    _lane("after the lane's tail is raised, before publishing", script("lane_tail", "after")),
    _lane("after half of the lane's confirms", Failpoint(target=_CONFIRMED, when="after", count=15)),
    _lane("after publishing into the lane, before the trim", _publish("after")),
    KillPoint(
        name="before the trim of the lane's jobs, and the next leader too",
        failpoint=_publish("after"),
        then=_publish("after"),
        work=spread,
        tasks=[_SPREAD_TASK],
    ),
    _lane("before the lease is renewed", script("lease", "before")),
    _lane("after the lease is renewed", script("lease", "after")),
    _retry("before a retry is published", _publish("before", 4)),
    _retry("after a retry is published, before it is removed", script("delayed_remove", "before")),
    _retry("after a retry is removed", script("delayed_remove", "after")),
    _limited("before a retry is moved into the list of a limit", script("delayed_move", "before")),
    _limited("after a retry is moved into the list of a limit", script("delayed_move", "after")),
    _limited("before a published job is removed from the list of a limit", _from_list("before")),
    _limited("after a published job is removed from the list of a limit", _from_list("after")),
    _reload("before the definitions are written", script("catalog_write", "before")),
    _reload("after the definitions are written", script("catalog_write", "after")),
    _reload("before the due work is brought in line", script("due_sync", "before")),
    _reload("after the due work is brought in line", script("due_sync", "after")),
    _reload("after held occurrences are let be looked at", script("due_look_again", "after")),
    _reload("before the lists of the API follow", script("file_tasks_list", "before")),
    _reload("after the lists of the API have followed", script("file_tasks_list", "after")),
    _removed("before an occurrence of a removed task is dropped", script("occurrence_abandon", "before")),
    _removed("in the middle of dropping an occurrence", script("occurrence_abandon", "after")),
    _removed("after an occurrence of a removed task is dropped", script("occurrence_abandon", "after", 3)),
    KillPoint(name="before a damaged key is set aside", failpoint=script("set_aside", "before"), work=damage),
    KillPoint(name="after a damaged key is set aside", failpoint=script("set_aside", "after"), work=damage),
    KillPoint(
        name="as soon as the lease is taken over",
        failpoint=Failpoint(target="taskqueue.scheduler.leader:Leader._lead", when="before"),
        work=spread,
        tasks=[_SPREAD_TASK],
        successor=True,
    ),
    _release("before a trigger is written", script("trigger_append", "before")),
    _release("between two pieces of a trigger", script("trigger_append", "after")),
    _release("after a trigger is written, before the answer", script("trigger_append", "after", 3)),
)

#: those at which the leader itself ends, in a system with the arena's own settings: one system goes through them all
PLAIN_POINTS = tuple(
    point for point in POINTS if not (point.successor or point.then or point.scheduler or point.worker)
)
