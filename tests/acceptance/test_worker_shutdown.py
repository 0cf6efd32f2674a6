"""SIGTERM: what runs is finished, what waits is given back, nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.support.inbox import eventually
from tests.support.processes import STARTUP_S, Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(90)


async def test_sigterm_under_load_finishes_what_runs_and_leaves_the_rest_to_another_worker(system: System) -> None:
    system.write_tasks(system.task("slow", "/slow/300"))
    scheduler, first = await system.scheduler_and_worker({"worker": {"pool_size": 4}})
    users = new_users(40)

    await trigger(scheduler, "slow", users)
    await system.target.wait_for_calls(10)
    assert await first.terminate() == 0
    called = len(system.target.calls)
    assert called < len(users)
    second = await system.worker({"worker": {"pool_size": 20}})
    await second.wait_ready()
    await system.drained(scheduler, second, within=30)

    assert sorted(call.headers["x-taskqueue-user"] for call in system.target.calls) == sorted(users)
    assert {call.headers["x-taskqueue-attempt"] for call in system.target.calls} == {"1"}
    finished = [worker.events("job_settled", status="success") for worker in (first, second)]
    assert [len(lines) for lines in finished] == [called, len(users) - called]
    assert first.errors == ""
    assert [line for line in first.lines if line["level"] in {"warning", "error"}] == []


async def test_a_draining_worker_is_alive_but_not_ready(system: System) -> None:
    system.write_tasks(system.task("block", "/block"))
    scheduler, worker = await system.scheduler_and_worker()

    await trigger(scheduler, "block", new_users(1))
    await system.target.wait_for_calls(1)
    worker.send(signal.SIGTERM)
    await worker.wait_for("process_draining")
    ready = await worker.http.get("/readyz")
    alive = await worker.http.get("/livez")
    system.target.release()

    assert await worker.ended(10) == 0
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert worker.events("process_stopped", clean=True)


async def test_what_outlasts_the_shutdown_timeout_is_cut_and_tried_again(system: System) -> None:
    system.write_tasks(system.task("block", "/block"))
    scheduler, first = await system.scheduler_and_worker({"worker": {"shutdown_timeout": "2s"}})
    users = new_users(3)

    await trigger(scheduler, "block", users)
    await system.target.wait_for_calls(3)
    began = asyncio.get_running_loop().time()
    code = await first.terminate()
    took_s = asyncio.get_running_loop().time() - began
    for user in users:
        system.target.set_user_rule(user, "/ok")
    second = await system.worker()
    await second.wait_ready()
    await system.drained(scheduler, second)

    assert took_s < 4
    assert code == 0
    for user in users:
        cut, again = system.calls(user=user)
        assert cut.headers["idempotency-key"] == again.headers["idempotency-key"]
        assert (cut.headers["x-taskqueue-attempt"], again.headers["x-taskqueue-attempt"]) == ("1", "2")
    assert len(first.events("attempt_ended", error_code="worker_stopped")) == 3


async def test_a_second_sigterm_leaves_at_once_and_loses_nothing(system: System) -> None:
    system.write_tasks(system.task("block", "/block"))
    scheduler, worker = await system.scheduler_and_worker()
    (user,) = new_users(1)

    await trigger(scheduler, "block", [user])
    await system.target.wait_for_calls(1)
    worker.send(signal.SIGTERM)
    await worker.wait_for("process_draining")
    code = await worker.terminate(within=1)

    assert code == 128 + signal.SIGTERM
    assert "second signal" in worker.errors

    async def given_back() -> bool:
        return (await system.depths())["taskqueue.jobs.normal"] == 1

    await eventually(given_back)


async def test_a_process_told_to_stop_while_it_starts_ends_cleanly(system: System) -> None:
    system.write_tasks(system.task("ok"))
    processes: list[Process] = [await system.scheduler(), await system.worker()]

    for process in processes:
        await process.wait_for("port_bound", within=STARTUP_S)

    assert [await process.terminate() for process in processes] == [0, 0]
