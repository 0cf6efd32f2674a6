"""SIGKILL of `taskqueue failed replay` between any two of its steps: nothing is lost, run twice or disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.failed_desk import FailedDesk
from tests.support.failing_processes import ForkServer
from tests.support.failpoints import Failpoint, When, script
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import Place, System, new_users

#: crashes at each point in the full form
KILLS = 20

_CHOSEN, _OTHERS = 6, 2
_KILLED = -9
_REPLAY = ("replay", "--yes", "--task", "chosen")

_BROWSER = "taskqueue.broker.failed_browser:FailedBrowser."
_POINTS = (
    "before replay",
    "after replay",
    "before ack",
    "after ack",
    "before settled",
    "after settled",
    "before close",
)


def failpoint(name: str, count: int) -> Failpoint:
    when: When = "before" if name.startswith("before") else "after"
    what = name.partition(" ")[2]
    if what == "replay":
        return script("replay", when, count)
    return Failpoint(target=_BROWSER + what, when=when, count=count if what == "ack" else 1)


class Replays:
    """One system in which one replay after the other is killed and run again."""

    def __init__(self, system: System, desk: FailedDesk, scheduler: Process, worker: Process) -> None:
        self._system = system
        self._desk = desk
        self._scheduler = scheduler
        self._worker = worker
        self._untouched: dict[str, tuple[bytes, dict[str, object]]] = {}

    async def begin(self) -> None:
        """Let some jobs fail that nobody chooses."""
        others = new_users(_OTHERS)
        await self._desk.fail(self._scheduler, {"other": others})
        self._untouched = await self._desk.lying()

    async def kill(self, server: ForkServer, name: str, count: int) -> None:
        """Kill a replay there, run it again, and judge."""
        users = new_users(_CHOSEN)
        await self._desk.fail(self._scheduler, {"chosen": users})
        self._desk.mend(users)

        code, said = await self._desk.run_forked(server, *_REPLAY, failpoint=failpoint(name, count))
        assert code == _KILLED, said
        code, said = await self._desk.run_forked(server, *_REPLAY)
        assert (code, said.startswith("replayed")) == (0, True), said

        await eventually(lambda: self._all_called(users), 20)
        assert await self._desk.run_forked(server, *_REPLAY) == (0, "replayed 0\n")
        calls = [call for call in self._system.target.calls if call.headers["x-taskqueue-user"] in users]
        runs = Counter((call.headers["idempotency-key"], call.status) for call in calls)
        assert sorted(status or 0 for _, status in runs) == [200] * _CHOSEN + [400] * _CHOSEN
        assert set(runs.values()) == {1}, f"killed {name} {count}: run twice"
        assert await self._desk.lying() == self._untouched

    async def finish(self) -> None:
        """Check that nothing is left to do."""
        await self._system.drained(self._scheduler, self._worker)

    async def _all_called(self, users: list[str]) -> bool:
        answered = [c for c in self._system.target.calls if c.headers["x-taskqueue-user"] in users and c.status == 200]
        return len(answered) >= len(users)


@pytest.fixture
async def replays(place: Place, tmp_path: Path) -> AsyncIterator[Replays]:
    async with System(place, tmp_path) as system:
        system.write_tasks(system.task("chosen", retries=0), system.task("other", retries=0))
        scheduler, worker = await system.scheduler_and_worker(watch_failed=False)
        replays = Replays(system, FailedDesk(system, tmp_path), scheduler, worker)
        await replays.begin()
        yield replays


@pytest.mark.timeout(300)
async def test_a_replay_may_die_between_any_two_steps(replays: Replays, fork_server: ForkServer) -> None:
    for number, name in enumerate(_POINTS):
        await replays.kill(fork_server, name, 1 + number % _CHOSEN)
    await replays.finish()


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", _POINTS)
async def test_a_replay_may_die_twenty_times_at_each_step(replays: Replays, fork_server: ForkServer, name: str) -> None:
    for number in range(KILLS):
        await replays.kill(fork_server, name, 1 + number % _CHOSEN)
    await replays.finish()
