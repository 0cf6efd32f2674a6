"""A seeded schedule of what happens to a system, and what users, operators and writers of tasks.yaml do meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.support import chaos_processes as processes
from tests.support import chaos_services as services
from tests.support.chaos_model import Timeline
from tests.support.chaos_system import ChaosSystem, daily, settings_key

#: what happens undoes itself in the end; its random numbers are its own
Event = Callable[[ChaosSystem, random.Random], Awaitable[None]]

#: seconds for a task that is back to be in force
_PUT_IN_FORCE_S = 5.0


# --- users and tasks --------------------------------------------------------------------------------------------------


async def switch_users(chaos: ChaosSystem, chance: random.Random) -> None:
    """Switch one of some tasks on or off for some users."""
    for user in chance.sample(chaos.users[:30], 5):
        task_id, on = chance.choice(["switched", "switched", "often", "own"]), chance.random() < 0.4
        begun = time.time()
        await _hset(chaos, f"taskqueue:users:{user}:tasks", task_id, str(int(on)))
        chaos.model.tasks[task_id].switches[user].change(begun, time.time(), on)
        chaos.note(f"{task_id} is {'on' if on else 'off'} for {user}")


async def forget_user(chaos: ChaosSystem, chance: random.Random) -> None:
    """Delete a user's switches, all of them: nobody knows the user then."""
    user, begun = chance.choice(chaos.users[-10:]), time.time()
    await chaos.insist(lambda: chaos.redis.delete(f"taskqueue:users:{user}:tasks"))
    for task in chaos.model.tasks.values():
        if user in task.switches:
            task.switches[user].change(begun, time.time(), value=False)
    chaos.note(f"forgot {user}")


async def move_users(chaos: ChaosSystem, chance: random.Random) -> None:
    """Give users another instant, not too soon."""
    for user in chance.sample(chaos.users[30:60], 4):
        task_id = chance.choice(["own", "edited"])
        instant = int(min(time.time() + chance.uniform(25, 50), chaos.began + chaos.lasts_s + 10))
        begun = time.time()
        await _hset(chaos, settings_key(user, task_id), "custom_interval", json.dumps(daily(instant)))
        chaos.model.tasks[task_id].instants[user].change(begun, time.time(), frozenset({instant}))
        chaos.note(f"{task_id} is at {instant - chaos.began:.1f} for {user}")


async def set_parameters(chaos: ChaosSystem, chance: random.Random) -> None:
    """Give users other parameters: those that were planned before may be called with either."""
    for user in chance.sample(chaos.users, 6):
        task_id, word = chance.choice(["own", "often", "crowd"]), str(chance.randrange(1 << 30))
        begun = time.time()
        await _hset(chaos, settings_key(user, task_id), "parameters", json.dumps({"word": word}))
        known = chaos.model.tasks[task_id].parameters.setdefault(user, Timeline(first=None))
        known.change(begun, time.time(), word)
    chaos.note("other parameters")


async def edit_task(chaos: ChaosSystem, chance: random.Random) -> None:
    """Change a task's window and endpoint."""
    task, path = chaos.tasks["edited"], chance.choice(["/ok", "/other", "/slow/100"])
    task["distribution_window"] = chance.choice(["0s", "2s", f"{int(chaos.lasts_s / 4)}s"])
    task["config"] = {"endpoint": chaos.system.target.url + path}
    chaos.write_tasks()
    chaos.note(f"edited: {path} within {task['distribution_window']}")


async def remove_task(chaos: ChaosSystem, chance: random.Random) -> None:
    """Take a task out of tasks.yaml, and put it in again."""
    async with chaos.catalog_lock:
        for there, seconds in ((False, chaos.a_while(chance, 15)), (True, _PUT_IN_FORCE_S)):
            begun = time.time()
            chaos.model.tasks["gone"].present.change(begun, begun + 10, there)
            chaos.write_tasks()
            chaos.note(f"gone is {'back' if there else 'removed'}")
            await asyncio.sleep(seconds)


async def disable_task(chaos: ChaosSystem, chance: random.Random) -> None:
    """Disable a task for a while."""
    for on in (False, True):
        begun = time.time()
        chaos.tasks["off"]["enabled"] = on
        chaos.model.tasks["off"].enabled.change(begun, begun, on)
        chaos.write_tasks()
        chaos.note(f"off is {'enabled' if on else 'disabled'}")
        await asyncio.sleep(chaos.a_while(chance, 20) if not on else 0)


async def break_tasks(chaos: ChaosSystem, chance: random.Random) -> None:
    """Let tasks.yaml be broken, or gone, for a while."""
    if chance.random() < 0.5:
        chaos.system.tasks_file.write_text("tasks: [", encoding="utf-8")
    else:
        chaos.system.tasks_file.unlink(missing_ok=True)
    chaos.note("tasks.yaml is broken")
    await asyncio.sleep(chaos.a_while(chance, 4))
    chaos.write_tasks()
    chaos.note("tasks.yaml is whole")


async def trigger(chaos: ChaosSystem, chance: random.Random) -> None:
    """Ask for jobs, of one user or of some pieces of users."""
    task_id, count = chance.choice(["manual", "spread"]), chance.choice([1, 45])
    await chaos.trigger(task_id, count, immediately=task_id == "manual")
    chaos.note(f"triggered {task_id} for {count}")


async def _hset(chaos: ChaosSystem, key: str, field: str, value: str) -> None:
    await chaos.insist(lambda: chaos.redis.hset(key, field, value))


# --- the schedule -----------------------------------------------------------------------------------------------------

#: how often each happens, by weight
EVENTS: Mapping[Event, int] = {
    processes.kill_scheduler: 6,
    processes.kill_all_schedulers: 1,
    processes.end_scheduler: 4,
    processes.pause_scheduler: 4,
    processes.kill_worker: 4,
    processes.end_worker: 4,
    processes.pause_worker: 3,
    processes.split: 6,
    switch_users: 8,
    forget_user: 2,
    move_users: 6,
    set_parameters: 4,
    edit_task: 4,
    remove_task: 3,
    disable_task: 2,
    break_tasks: 2,
    trigger: 8,
    services.restart_redis: 2,
    services.trouble_redis: 3,
    services.kill_clients: 2,
    services.flush_scripts: 2,
    services.lose_derived: 9,
    services.set_limit: 4,
    services.restart_rabbitmq: 1,
    services.alarm_rabbitmq: 1,
    services.close_connections: 1,
    services.break_endpoint: 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An event, `at` seconds from the beginning, with the seed of its own choices."""

    at: float
    event: Event
    seed: int


def schedule(seed: int, *, lasts_s: float, every_s: float, leave_out: Sequence[Event] = ()) -> list[Planned]:
    """Return what is to happen, in order, each `every_s` seconds on average: the same for a seed."""
    chance = random.Random(seed)
    weights = {event: weight for event, weight in EVENTS.items() if event not in leave_out}
    planned: list[Planned] = []
    at = 0.0
    while (at := at + chance.expovariate(1 / every_s)) < lasts_s:
        (event,) = chance.choices(list(weights), list(weights.values()))
        planned.append(Planned(at=at, event=event, seed=chance.randrange(1 << 30)))
    return planned


async def happen(chaos: ChaosSystem, planned: Sequence[Planned]) -> None:
    """Let it all happen, each kind once at a time; returns when all is over and undone."""
    busy = {event: asyncio.Lock() for event in EVENTS}

    async def one(each: Planned) -> None:
        await asyncio.sleep(max(0.0, chaos.began + each.at - time.time()))
        async with busy[each.event]:
            await each.event(chaos, random.Random(each.seed))

    async with asyncio.TaskGroup() as group:
        supervising = group.create_task(chaos.posts.supervise())
        happening = [group.create_task(one(each)) for each in planned]
        await asyncio.wait(happening)
        supervising.cancel()
    chaos.note("all is well again")
