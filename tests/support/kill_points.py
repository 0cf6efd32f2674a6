"""The moments at which a scheduler is killed, and the work that leads it there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.support.failpoints import Failpoint, When, script
from tests.support.inbox import eventually
from tests.support.kill_arena import DONE_WITHIN_S, KillArena

_DUE = "taskqueue:due"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillPoint:
    """`work` leads the leader to `failpoint`; with `successor` it is the next leader that dies there."""

    name: str
    failpoint: Failpoint
    work: Callable[[KillArena], Awaitable[None]]
    #: tasks that the work needs, by id, with the path of the endpoint and their fields
    tasks: Sequence[tuple[str, str, dict[str, object]]] = ()
    successor: bool = False


# --- work -------------------------------------------------------------------------------------------------------------


async def due(arena: KillArena) -> None:
    """Let an occurrence for all users become due in a second."""
    at = _soon()
    arena.ledger.expect("due", arena.users, at)
    await _make_due(arena, "due", at)


async def missed_without_catch_up(arena: KillArena) -> None:
    """Let an occurrence be found an hour late by a task that makes up for nothing: nobody is called."""
    late = datetime.now(UTC) - timedelta(hours=1)
    await _make_due(arena, "forgetful", late)

    async def moved() -> bool:
        return (await arena.system.redis.zscore(_DUE, "forgetful") or 0) > late.timestamp() * 1000 + 1

    await eventually(moved, DONE_WITHIN_S)


async def catch_up(arena: KillArena) -> None:
    """Add a daily task whose last three instants were missed."""
    instant = (datetime.now(UTC) + timedelta(hours=12)).replace(microsecond=0)
    task_id = f"daily-{len(arena.tasks)}"
    missed = [instant - timedelta(days=days) for days in (3, 2, 1)]
    for at in missed:
        arena.ledger.expect(task_id, arena.users, at)
    arena.set_task(task_id, interval={"type": "daily", "at_time": f"{instant:%H:%M:%S}"})
    await _make_due(arena, task_id, missed[0])


async def reload(arena: KillArena) -> None:
    """Add a task to tasks.yaml and let it become due at once."""
    task_id = f"added-{len(arena.tasks)}"
    arena.set_task(task_id)
    at = _soon()
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


def _soon() -> datetime:
    at = datetime.now(UTC) + timedelta(seconds=1)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


async def _make_due(arena: KillArena, task_id: str, at: datetime) -> None:
    redis = arena.system.redis

    async def known() -> bool:
        return await redis.zscore(_DUE, task_id) is not None

    await eventually(known, DONE_WITHIN_S)
    await redis.zadd(_DUE, {task_id: round(at.timestamp() * 1000)}, xx=True)


# --- moments ----------------------------------------------------------------------------------------------------------

_DUE_TASK = ("due", "/ok", {"distribution_window": "1s"})
_FORGETFUL_TASK = ("forgetful", "/ok", {"catch_up": "none"})
_SPREAD_TASK = ("spread", "/ok", {"distribution_window": "2s"})
_FAILING_TASK = ("failing", "/fail/1", {})


def _planning(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=due, tasks=[_DUE_TASK])


def _release(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=trigger)


def _lane(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=spread, tasks=[_SPREAD_TASK])


def _retry(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=retries, tasks=[_FAILING_TASK])


def _reload(name: str, failpoint: Failpoint) -> KillPoint:
    return KillPoint(name=name, failpoint=failpoint, work=reload)


def _publish(when: When, count: int = 1) -> Failpoint:
    return Failpoint(target="taskqueue.broker.publisher:Publisher.publish_all", when=when, count=count)


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
    KillPoint(name="between two instants of a catch-up", failpoint=script("plan_begin", "after", 2), work=catch_up),
    KillPoint(
        name="after a missed instant is passed over",
        failpoint=script("plan_begin", "after"),
        work=missed_without_catch_up,
        tasks=[_FORGETFUL_TASK],
    ),
    _release("before publishing", _publish("before")),
    _release("with messages sent and none confirmed", Failpoint(target=_SENT, when="after")),
    _release("after the first confirm", Failpoint(target=_CONFIRMED, when="after")),
    _release("after half of the confirms", Failpoint(target=_CONFIRMED, when="after", count=15)),
    _release("after all confirms, before the trim", _publish("after")),
    _release("after the trim, before the next piece", script("slot_trim", "after")),
    _release("after the last trim", script("slot_trim", "after", 3)),
    _release("before a finished occurrence is closed", script("occurrence_close", "before")),
    _release("after a finished occurrence is closed", script("occurrence_close", "after")),
    _lane("before the lane's tail is raised", script("lane_tail", "before")),
    _lane("after the lane's tail is raised, before publishing", script("lane_tail", "after")),
    _lane("after publishing into the lane, before the trim", _publish("after")),
    _lane("before the lease is renewed", script("lease", "before")),
    _lane("after the lease is renewed", script("lease", "after")),
    _retry("before a retry is published", _publish("before", 4)),
    _retry("after a retry is published, before it is removed", script("delayed_remove", "before")),
    _retry("after a retry is removed", script("delayed_remove", "after")),
    _reload("before the definitions are written", script("catalog_write", "before")),
    _reload("after the definitions are written", script("catalog_write", "after")),
    _reload("before the due work is brought in line", script("due_sync", "before")),
    _reload("after the due work is brought in line", script("due_sync", "after")),
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
