"""Failed jobs that come back through the whole system: the same jobs, under every limit and switch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from taskqueue.dev.target import Call
from tests.support.failed_desk import FailedDesk
from tests.support.inbox import eventually
from tests.support.system import System, new_users

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def desk(system: System, tmp_path: Path) -> FailedDesk:
    return FailedDesk(system, tmp_path)


def keys_of(calls: list[Call]) -> Counter[str]:
    return Counter(call.headers["idempotency-key"] for call in calls)


def succeeded(system: System) -> list[Call]:
    return [call for call in system.target.calls if call.status == 200]


async def all_called(system: System, count: int, within: float = 30) -> list[Call]:
    async def called() -> bool:
        return len(succeeded(system)) >= count

    await eventually(called, within)
    return succeeded(system)


async def test_what_is_chosen_is_called_again_with_its_keys_and_the_rest_stays_as_it_was(
    system: System, desk: FailedDesk
) -> None:
    system.write_tasks(system.task("chosen", retries=0), system.task("other", retries=0))
    scheduler, worker = await system.scheduler_and_worker(watch_failed=False)
    chosen, others = new_users(20), new_users(5)
    await desk.fail(scheduler, {"chosen": chosen, "other": others})
    before, failed = await desk.lying(), keys_of(system.calls(task="chosen"))
    desk.mend([*chosen, *others])

    assert await desk.run("replay", "--yes", "--task", "chosen") == (0, "replayed 20\n")
    calls = await all_called(system, 20)
    await system.drained(scheduler, worker)

    assert keys_of(calls) == failed
    assert {call.headers["x-taskqueue-attempt"] for call in calls} == {"1"}
    left = {job_id: lying for job_id, lying in before.items() if lying[1]["taskqueue-task"] == "other"}
    assert await desk.lying() == left
    assert len(left) == 5
    (_, headers) = next(iter(left.values()))
    assert [outcome["status"] for outcome in json.loads(headers["taskqueue-outcomes"])] == [400]
    for job_id in failed:
        assert (await system.execution(job_id))["status"] == "success"


async def test_the_limit_of_a_task_holds_for_its_replayed_jobs(system: System, desk: FailedDesk) -> None:
    rate = 10
    system.write_tasks(system.task("limited", retries=0))
    limits = {"rate_limit": {"global": None, "per_task": {"limited": rate}}}
    scheduler, worker = await system.scheduler_and_worker(limits, watch_failed=False)
    users = new_users(40)
    await desk.fail(scheduler, {"limited": users})
    desk.mend(users)

    assert (await desk.run("replay", "--yes"))[0] == 0
    calls = await all_called(system, 40)
    await system.drained(scheduler, worker)

    starts = sorted(call.at for call in calls)
    assert len(starts) == 40
    for number, start in enumerate(starts):
        assert len(starts) - number <= rate + rate * (starts[-1] - start) + 1


async def test_who_has_opted_out_since_is_not_called(system: System, desk: FailedDesk) -> None:
    system.write_tasks(system.task("report", retries=0))
    scheduler, worker = await system.scheduler_and_worker(watch_failed=False)
    users = new_users(4)
    await desk.fail(scheduler, {"report": users})
    desk.mend(users)
    await system.set_preference(users[0], "report", on=False)

    assert (await desk.run("replay", "--yes"))[0] == 0
    calls = await all_called(system, 3)
    await system.drained(scheduler, worker)

    assert {call.headers["x-taskqueue-user"] for call in calls} == set(users[1:])
    assert len(calls) == 3


async def test_a_paced_replay_is_spread_over_its_time(system: System, desk: FailedDesk) -> None:
    system.write_tasks(system.task("report", retries=0))
    scheduler, worker = await system.scheduler_and_worker(watch_failed=False)
    users = new_users(30)
    await desk.fail(scheduler, {"report": users})
    desk.mend(users)

    assert (await desk.run("replay", "--yes", "--over", "3s"))[0] == 0
    calls = await all_called(system, 30)
    await system.drained(scheduler, worker)

    starts = sorted(call.at for call in calls)
    # The first are due at once and a little late, the last on time.
    assert 2 < starts[-1] - starts[0] < 4.5
    # Ten in a second are due; a job is late now and then.
    assert max(sum(start <= other < start + 1 for other in starts) for start in starts) <= 15


async def test_five_hundred_come_back_and_those_that_fail_again_lie_there_again(
    system: System, desk: FailedDesk
) -> None:
    system.write_tasks(system.task("report", retries=0))
    scheduler, worker = await system.scheduler_and_worker({"worker": {"pool_size": 20}}, watch_failed=False)
    users = new_users(500)
    await desk.fail(scheduler, {"report": users})
    desk.mend(users[3:])

    assert await desk.run("replay", "--yes") == (0, "replayed 500\n")
    calls = await all_called(system, 497, within=60)
    await system.drained(scheduler, worker, within=60)

    assert {call.headers["x-taskqueue-user"] for call in calls} == set(users[3:])
    assert set(keys_of(calls).values()) == {1}
    assert len(await desk.lying()) == 3
    assert await system.redis.zcard("taskqueue:delayed") == 0
