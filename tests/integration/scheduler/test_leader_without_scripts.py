"""A scheduler whose Redis user has lost the right to run scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import ConnectionLost
from taskqueue.telemetry.scheduler_events import LeaderChanged
from tests.support.inbox import eventually
from tests.support.scheduling import NewScheduler, TasksFile, task_type

USER = "taskqueue-test-leader"


@pytest.fixture
async def user(redis: Redis) -> AsyncIterator[str]:
    """A user of Redis who may do everything, until the test ends."""
    rights = {"keys": ["*"], "channels": ["*"], "categories": ["+@all"]}
    await redis.acl_setuser(USER, enabled=True, nopass=True, reset=True, **rights)
    try:
        yield USER
    finally:
        await redis.acl_deluser(USER)


async def test_a_scheduler_that_may_run_no_scripts_leaves_the_lease_to_others_and_tells_it_once(
    user: str, new_scheduler: NewScheduler, redis: Redis, tasks_file: TasksFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks_file.write(task_type("report"))
    acquire, refused = Lease.acquire, 0

    async def acquire_or_count(lease: Lease) -> bool:
        nonlocal refused
        try:
            return await acquire(lease)
        except StoreError:
            refused += 1
            raise

    monkeypatch.setattr(Lease, "acquire", acquire_or_count)
    first = await new_scheduler("first", username=user)
    await first.leads()
    second = await new_scheduler("second")

    await redis.acl_setuser(user, commands=["-eval", "-evalsha"])
    await second.leads()
    await second.stop()
    refused_before = refused

    async def refused_again() -> bool:
        return refused >= refused_before + 3

    await eventually(refused_again, within=30)
    await first.events.wait_for(ConnectionLost)

    assert await redis.exists(keys.LEASE) == 0
    assert [event.leading for event in first.events.of(LeaderChanged)] == [False, True, False]
    (told,) = first.events.of(ConnectionLost)
    assert "docs/redis.md" in told.error

    led = len(first.events.events)
    await redis.acl_setuser(user, commands=["+eval", "+evalsha"])
    await first.leads(after=led)
    await first.stop()
