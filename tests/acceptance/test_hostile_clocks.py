"""Hosts whose clocks are wrong: Redis's clock counts, so that nothing is early, late, twice or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from taskqueue.core.instants import parse_rfc3339, to_unix_ms
from tests.support.fake_time import FakeTime, faketime_library
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, merged, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: how far two looks at one clock may be apart that go through a busy machine; milliseconds are cut off on the way
EARLY_S = 0.05
LATE_S = 3.0


NewClock = Callable[[str, str], FakeTime]


@pytest.fixture
def new_clock(pytestconfig: pytest.Config, tmp_path: Path) -> NewClock:
    """Call it with the name of a clock and how far it is off."""
    library = faketime_library(install_missing=bool(pytestconfig.getoption("--require-services")))
    return partial(FakeTime, library, tmp_path)


async def _scheduler(system: System, clock: FakeTime, lease_ttl: str = "3s") -> Process:
    settings = {
        "tasks": {"config_file": str(system.tasks_file), "poll_interval": "100ms"},
        "scheduler": {"lead": "1s", "lease_ttl": lease_ttl},
    }
    return await system.processes.start("scheduler", merged(system.place.settings(), settings), clock.environment())


def _in_seconds(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def _write(system: System, at: datetime | None = None) -> None:
    """Write tasks.yaml; with a task that is due at `at`."""
    spread = system.task("spread", distribution_window="6s")
    failing = system.task("failing", "/fail/1", retries=1, retry_delay="1s")
    due = [] if at is None else [system.task("due", interval={"type": "daily", "at_time": at.strftime("%H:%M:%S")})]
    system.write_tasks(spread, failing, *due)


async def _called(system: System, expected: dict[str, list[str]]) -> None:
    """Wait until these users were called, and check that each was called once."""

    def users(task_id: str) -> Counter[str]:
        return Counter(call.headers["x-taskqueue-user"] for call in system.calls(task=task_id))

    async def enough() -> bool:
        return all(users(task_id).total() >= len(wanted) for task_id, wanted in expected.items())

    await eventually(enough, within=30)
    assert {task_id: users(task_id) for task_id in expected} == {
        task_id: Counter(wanted) for task_id, wanted in expected.items()
    }


async def test_hosts_that_are_an_hour_off_schedule_and_take_over_as_if_they_were_right(
    system: System, new_clock: NewClock
) -> None:
    await system.redis.set("taskqueue:lane_tail", to_unix_ms(datetime.now(UTC)))
    ahead, behind = new_clock("ahead", "+1h"), new_clock("behind", "-1h")
    users = new_users(24)
    await system.enable("due", *users)
    _write(system)
    leader = await _scheduler(system, ahead)
    worker = await system.worker(environment=new_clock("worker", "+1h").environment())
    await leader.wait_for("leader_changed", leading=True, within=60)
    follower = await _scheduler(system, behind)
    for process in (leader, worker, follower):
        await process.wait_ready()

    at = _in_seconds(4)
    _write(system, at)
    began_at = datetime.now(UTC).timestamp()
    await trigger(leader, "spread", users, immediately=False)
    await trigger(leader, "failing", users[:1])
    await leader.wait_for("occurrence_planned", task="due", users=len(users))
    await system.target.wait_for_calls(8)
    await leader.kill()
    await follower.wait_for("leader_changed", leading=True)
    await _called(system, {"due": users, "spread": users, "failing": users[:1] * 2})

    assert [line["ahead_s"] > 0 for line in leader.events("clock_differs")] == [True]
    assert [line["ahead_s"] > 0 for line in follower.events("clock_differs")] == [False]
    assert min(call.at for call in system.calls(task="due")) >= at.timestamp() - EARLY_S
    assert max(call.at for call in system.target.calls) < began_at + 6 + 3 + 5 + LATE_S
    first, second = (call.at for call in system.calls(task="failing"))
    assert second - first < 5
    status = (await follower.http.get("/schedule/status/due")).json()
    assert parse_rfc3339(status["last_execution"]) == at
    assert parse_rfc3339(status["next_execution"]) == at + timedelta(days=1)


async def test_hosts_whose_clocks_jump_plan_release_and_call_as_if_they_had_not(
    system: System, new_clock: NewClock
) -> None:
    await system.redis.set("taskqueue:lane_tail", to_unix_ms(datetime.now(UTC)))
    clock = new_clock("jumping", "+0")
    users = new_users(24)
    await system.enable("due", *users)
    _write(system)
    # Nobody is to take over here, however slow this machine is.
    scheduler = await _scheduler(system, clock, lease_ttl="30s")
    worker = await system.worker(environment=clock.environment())
    for process in (scheduler, worker):
        await process.wait_ready()
    await scheduler.wait_for("leader_changed", leading=True, within=60)

    at = _in_seconds(5)
    await trigger(scheduler, "spread", users, immediately=False)
    await trigger(scheduler, "failing", users[:1])
    clock.set("+1h")
    _write(system, at)
    for calls, offset in ((2, "+0"), (5, "-1h"), (10, "+0"), (14, "+1h"), (20, "-1h")):
        await system.target.wait_for_calls(calls)
        clock.set(offset)
    await _called(system, {"due": users, "spread": users, "failing": users[:1] * 2})
    await system.failed.open(system.place.amqp_url)
    await system.drained(scheduler, worker)

    assert len(scheduler.events("occurrence_planned", task="due")) == 1
    assert scheduler.events("occurrence_skipped") == scheduler.events("lease_lost") == []
    assert min(call.at for call in system.calls(task="due")) >= at.timestamp() - EARLY_S
    assert max(call.at for call in system.calls(task="due")) < at.timestamp() + LATE_S
    assert system.failed.messages == []
