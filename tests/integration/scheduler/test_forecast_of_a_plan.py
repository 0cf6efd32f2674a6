"""What `taskqueue plan` foretells is what the planner then writes, slot for slot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from taskqueue.cli.plan_running import Running
from taskqueue.core.forecast import HORIZON, Load, outlook
from taskqueue.core.task import Task
from taskqueue.store.users import Switches
from tests.support.plan_desk import Desk, NewDesk, names
from tests.support.scheduling import TasksFile, task_of, task_type

#: the day on which the clocks of New York go forward
AT = datetime(2026, 3, 8, tzinfo=UTC)
DEFAULT_WINDOW = timedelta(minutes=30)
SLOT = timedelta(seconds=10)

NEW_YORK = {"timezone": "America/New_York"}
ENTRIES = (
    task_type("report", {"type": "daily", "at_time": "02:30", **NEW_YORK}),
    task_type("left_out", {"type": "daily", "at_time": "02:30", "dst": {"gap": "skip"}, **NEW_YORK}),
    task_type("sync", {"cron": "0 */6 * * *"}, distribution_window="8h", default_enabled=True),
    task_type("seconds", {"type": "daily", "at_time": "05:06:07"}, distribution_window="95s", default_enabled=True),
    task_type("at_once", {"type": "hourly", "value": 12}, distribution_window="0s"),
    task_type("bounded", {"type": "hourly", "value": 6}, end_at="2026-03-08T12:00:00Z", default_enabled=True),
    task_type("off", {"type": "hourly", "value": 1}, enabled=False, default_enabled=True),
)


def switch(desk: Desk) -> None:
    """Let 300 users have switches of all sorts, and some of them intervals of their own."""
    for number, user in enumerate(names(300)):
        on = {"report", "left_out"} | ({"at_once"} if number % 3 else set())
        off = {"sync"} if number % 4 == 0 else set[str]()
        desk.index.apply(Switches(user_id=user, on=frozenset(on), off=frozenset(off)))
    for number, user in enumerate(names(60)):
        desk.wants(user, {"type": "hourly", "value": 4 + number % 2}, task_id="sync")
    desk.wants("nobody", {"type": "hourly", "value": 1}, task_id="sync")


def foretold(desk: Desk, task: Task) -> tuple[Mapping[datetime, int], int]:
    """Return the calls of each slot of the day after AT, and how many occurrences there are."""
    running, load = Running(now=AT, index=desk.index), Load(begins=AT)
    window = DEFAULT_WINDOW if task.distribution_window is None else task.distribution_window
    outlooks = [outlook(schedule, window, at=AT, shown=0, load=load) for schedule in running.schedules(task)]
    return load.by_slot(), sum(found.count for found in outlooks)


async def planned(desk: Desk) -> tuple[dict[str, Counter[datetime]], Counter[str]]:
    """Let the planner work for a day; return the users in all slot lists by task and time, and the occurrences."""
    await desk.tick_at(AT)
    while (wake := await desk.planner.next_wake()) is not None and wake + timedelta(minutes=1) <= AT + HORIZON:
        await desk.tick_at(max(wake, AT))
    keys = [key async for key in desk.redis.scan_iter("taskqueue:distribution:*", count=10_000, _type="list")]
    async with desk.redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.llen(key)
        lengths = dict(zip(keys, await pipeline.execute(), strict=True))
    slots, occurrences = dict[str, Counter[datetime]](), Counter[str]()
    for occurrence, progress in await desk.occurrences():
        occurrences[occurrence.task_id] += bool(occurrence.users)
        found = slots.setdefault(occurrence.task_id, Counter())
        for number in range(occurrence.spread.slots):
            users = lengths.get(f"taskqueue:distribution:{occurrence.task_id}:{number}{progress.suffix}", 0)
            at = occurrence.starts_at + number * SLOT
            if users and at < AT + HORIZON:
                found[at] += users
    return slots, occurrences


async def test_the_planner_writes_what_was_foretold(tasks_file: TasksFile, new_desk: NewDesk) -> None:
    tasks_file.write(*ENTRIES)
    desk = new_desk()
    switch(desk)
    expected = {task.id: foretold(desk, task) for task in map(task_of, ENTRIES)}

    slots, occurrences = await planned(desk)

    assert {task_id: count for task_id, (_, count) in expected.items() if count} == occurrences
    assert occurrences == {"report": 1, "sync": 4 + 6 + 5, "seconds": 1, "at_once": 2, "bounded": 2}
    for task_id, (foretold_slots, _) in expected.items():
        if task_id == "seconds":
            # Its slots lie between those of the day; they hold as many.
            assert sum(foretold_slots.values()) == sum(slots[task_id].values()) == 300
        else:
            assert foretold_slots == slots.get(task_id, {}), task_id
