"""Users with an interval and parameters of their own, written with plain HSET while the system runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from taskqueue.core.instants import rfc3339
from tests.support.inbox import eventually
from tests.support.system import System, new_users

pytestmark = pytest.mark.timeout(120)

#: a change counts within 5 s; the audience hears of it in less than one, and the planner looks every two
SOON = timedelta(seconds=8)


async def wants(system: System, user: str, zone: str, edition: str) -> datetime:
    """Let the user have the report soon, each day at that time of their own clock; return that instant."""
    at = (datetime.now(UTC) + SOON).replace(microsecond=0)
    own = {"type": "daily", "at_time": f"{at.astimezone(ZoneInfo(zone)):%H:%M:%S}", "timezone": zone}
    settings = {"custom_interval": json.dumps(own), "parameters": json.dumps({"edition": edition})}
    await system.redis.hset(f"taskqueue:users:{user}:settings:report", mapping=settings)
    return at


async def is_called(system: System, user: str, times: int) -> None:
    async def called() -> bool:
        return len(system.calls(user=user)) >= times

    await eventually(called, 20)


async def test_a_users_own_time_and_parameters_count_and_so_does_a_change_of_either(system: System) -> None:
    ann, bea = new_users(2)
    system.write_tasks(system.task("report"))  # due on leap days only, for those who say nothing
    await system.enable("report", ann, bea)
    scheduler, worker = await system.scheduler_and_worker()

    first = await wants(system, ann, "Asia/Kathmandu", "morning")
    await is_called(system, ann, 1)
    second = await wants(system, ann, "America/St_Johns", "evening")
    await is_called(system, ann, 2)
    await system.redis.hset(f"taskqueue:users:{ann}:settings:report", "custom_interval", '{"type": "often"}')
    told = await scheduler.wait_for("preference_ignored", user_id=ann)
    await system.drained(scheduler, worker)

    assert "interval.type: unknown type 'often'" in told["error"]
    found = [(call.headers["x-taskqueue-scheduled-at"], json.loads(call.body)) for call in system.target.calls]
    assert found == [
        (rfc3339(at), {"user_id": ann, "parameters": {"edition": edition}})
        for at, edition in ((first, "morning"), (second, "evening"))
    ]
    for call, at in zip(system.target.calls, (first, second), strict=True):
        assert at.timestamp() <= call.at < at.timestamp() + 5
