"""A worker that guards tasks.yaml as well calls nothing on its own machine unless it is told to."""

from __future__ import annotations

import pytest

from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)


async def test_a_job_with_a_blocked_address_fails_for_good_at_its_first_attempt(system: System) -> None:
    (user,) = new_users(1)
    system.write_tasks(system.task("guarded", "/ok", retries=3))
    scheduler, worker = await system.scheduler_and_worker({"guard": {"file_tasks": True}})

    await trigger(scheduler, "guarded", [user])
    settled = await worker.wait_for("job_settled", user_id=user, decision="fail")

    message = await system.failed.wait_for(settled["job_id"])
    assert message.reason == "permanent"
    assert message.headers["taskqueue-error-code"] == "blocked_address"
    record = await system.execution(settled["job_id"])
    assert (record["status"], record["attempt"]) == ("failed", 1)
    assert "guard.allow in worker.yaml" in record["error"]["message"]
    assert system.target.calls == []
    assert worker.events("host_closed") == []


async def test_a_job_whose_address_is_allowed_is_called(system: System) -> None:
    (user,) = new_users(1)
    system.write_tasks(system.task("guarded", "/ok"))
    address = system.target.url.removeprefix("http://")
    scheduler, worker = await system.scheduler_and_worker({"guard": {"file_tasks": True, "allow": [address]}})

    await trigger(scheduler, "guarded", [user])
    await worker.wait_for("job_settled", user_id=user, status="success")

    assert len(system.calls(user=user)) == 1
