"""A system in which one scheduler after the other is killed at a chosen moment, while the work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support.failing_processes import FailingProcesses, ForkServer, arm
from tests.support.failpoints import Failpoint
from tests.support.inbox import eventually
from tests.support.ledger import Ledger, Verdict
from tests.support.processes import Process
from tests.support.system import Place, Settings, System, merged, new_users

#: users of the arena: three pieces of a plan of `batch_size` each
USERS = 30
BATCH_SIZE = 10

#: the shortest lease: most of a round is waiting for its end
LEASE_S = 2

#: With the long interval an instant that a test has put there without a rule is only set right by a leader that begins.
_SETTINGS = {
    "scheduler": {
        "lease_ttl": f"{LEASE_S}s",
        "batch_size": BATCH_SIZE,
        "distribution_window": "0s",
        "check_interval": "1h",
    }
}

#: seconds for a failpoint to be reached, and for everything to be done after a crash, on a busy machine
REACHED_WITHIN_S = 20.0
DONE_WITHIN_S = 40.0

#: systems that are killed at the same time in the full form
LANES = 3


class KillArena:
    """Use it as a context: two schedulers, of which the first leads, a worker, an endpoint and its judge.

    `scheduler` is added to the settings of every scheduler, `first` to those of the first alone, `worker` to those of
    the worker. `environment` is for all programs, which `server` forks.
    """

    def __init__(
        self,
        place: Place,
        directory: Path,
        server: ForkServer,
        *,
        scheduler: Settings | None = None,
        first: Settings | None = None,
        worker: Settings | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.system = System(place, directory)
        self.system.processes = FailingProcesses(directory, server, environment)
        self.ledger = Ledger()
        self.users = new_users(USERS)
        self.tasks: dict[str, Mapping[str, object]] = {}
        self._settings = merged(_SETTINGS, scheduler or {})
        self._first = merged(self._settings, first or {})
        self._worker = merged({"worker": {"pool_size": USERS}}, worker or {})
        self._schedulers: list[Process] = []

    async def __aenter__(self) -> Self:
        await self.system.__aenter__()
        try:
            self.set_task("plain")
            # Before there are users nothing is planned ahead, nor in the minute after that.
            await self.system.enable("plain", *self.users)
            first, self.worker = await self.system.scheduler_and_worker(self._worker, scheduler=self._first)
            self._schedulers = [first]
            await (await self.add_scheduler()).wait_ready()
        except BaseException:
            await self.system.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.system.__aexit__(kind, error, traceback)

    # --- who runs -----------------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Process:
        """The scheduler that leads now, by what each said last."""
        return next(scheduler for scheduler in self._schedulers if leads(scheduler))

    @property
    def schedulers(self) -> list[Process]:
        """All that were not seen to end."""
        return list(self._schedulers)

    @property
    def followers(self) -> list[Process]:
        """The others, those that are still starting too."""
        return [scheduler for scheduler in self._schedulers if not leads(scheduler)]

    async def add_scheduler(self) -> Process:
        """Start one more scheduler; returns before it is ready."""
        scheduler = await self.system.scheduler(self._settings)
        self._schedulers.append(scheduler)
        return scheduler

    async def new_leader(self, within: float = 15.0) -> Process:
        """Return the scheduler that leads, when one does."""

        async def found() -> bool:
            return any(map(leads, self._schedulers))

        await eventually(found, within)
        return self.leader

    async def lease_token(self) -> str:
        """Return the token of the leader."""
        return str(await self.system.redis.get("taskqueue:distribution:lock"), "utf-8")

    def bury(self, scheduler: Process) -> None:
        """Count a scheduler that has ended no more."""
        self._schedulers.remove(scheduler)

    # --- work ---------------------------------------------------------------------------------------------------------

    def set_task(self, task_id: str, path: str = "/ok", **fields: object) -> None:
        """Add a task, or change it, and write tasks.yaml."""
        defaults = {"default_enabled": True, "catch_up": "all", "max_age": "5d"}
        self.tasks[task_id] = self.system.task(task_id, path, **{**defaults, **fields})
        self.system.write_tasks(*self.tasks.values())

    def remove_task(self, task_id: str) -> None:
        """Take a task out of tasks.yaml."""
        del self.tasks[task_id]
        self.system.write_tasks(*self.tasks.values())

    async def all_known(self) -> None:
        """Return when workers know the tasks of the arena, and every scheduler its users.

        A job of a task that workers do not know yet fails: a follower may know it, and take a trigger, before them.
        """
        await eventually(self._tasks_in_force)
        for scheduler in self._schedulers:
            await eventually(partial(self._knows_users, scheduler))

    async def _tasks_in_force(self) -> bool:
        known = {task_id.decode() for task_id in await self.system.redis.hkeys("taskqueue:catalog")}
        return self.tasks.keys() <= known

    async def _knows_users(self, scheduler: Process) -> bool:
        answer = await scheduler.http.get("/schedule/status/plain")
        return bool(answer.json()["enabled_users"] == len(self.users))

    async def trigger(self, task_id: str, *, immediately: bool, users: int = USERS) -> None:
        """Ask for jobs of new users until a scheduler has accepted, as a client does that keeps its Idempotency-Key."""
        user_ids = new_users(users)
        self.ledger.expect(task_id, user_ids)
        body = {"task_type_id": task_id, "user_ids": user_ids, "execute_immediately": immediately}
        await eventually(partial(self._accepted, body, user_ids[0]), REACHED_WITHIN_S)

    async def _accepted(self, body: Mapping[str, object], key: str) -> bool:
        # The leader first: where it dies of it, the other is asked again.
        for scheduler in sorted(self._schedulers, key=leads, reverse=True):
            try:
                answer = await scheduler.http.post("/schedule/trigger", json=body, headers={"Idempotency-Key": key})
            except (httpx.TransportError, StopIteration):
                continue  # it has just been killed, or does not listen yet
            if answer.status_code == 202:
                return True
        return False

    # --- one crash ----------------------------------------------------------------------------------------------------

    async def crash(
        self,
        failpoint: Failpoint,
        work: Callable[[], Awaitable[None]],
        *,
        successor: bool = False,
        then: Failpoint | None = None,
    ) -> float:
        """Let the leader die at `failpoint` while it does `work`; return seconds until another leads.

        With `successor` the leader is killed first, and the one that takes over dies at the failpoint. With `then` both
        die: the leader at the failpoint, and the one that takes over at that one.
        """
        leader = await self.new_leader()
        (follower,) = self.followers
        await follower.wait_ready()
        victims = [(follower if successor else leader, failpoint)]
        if then is not None:
            victims.append((follower, then))
        for victim, moment in victims:
            await arm(victim, moment)
        working = asyncio.create_task(work())
        try:
            if successor:
                await leader.kill()
                self.bury(leader)
            for victim, _ in victims:
                await victim.wait_for("failpoint_reached", within=REACHED_WITHIN_S)
                await victim.ended(5)
                self.bury(victim)
            ended = asyncio.get_running_loop().time()
            while len(self._schedulers) < 2:
                await self.add_scheduler()
            await self.new_leader()
            took_s = asyncio.get_running_loop().time() - ended
            await working
        finally:
            working.cancel()
        return took_s

    async def settled(self, within: float = DONE_WITHIN_S) -> None:
        """Wait until every duty is done and nothing is left to do.

        Where a duty is not done by then it is lost, which the verdict says.
        """

        async def over() -> bool:
            return not self.ledger.missing(self.system.target.calls) and await self._idle()

        try:
            await eventually(over, within)
        except TimeoutError:
            if not self.verdict().lost:
                raise AssertionError(f"all jobs ran, and after {within} s something is still left to do") from None

    async def _idle(self) -> bool:
        redis = self.system.redis
        waiting = await redis.zcard("taskqueue:delayed") + await redis.zcard("taskqueue:occurrences")
        active = (await self.worker.http.get("/health")).json()["active_jobs"]
        return not waiting and not active and not any((await self.system.depths()).values())

    async def finish(self) -> Verdict:
        """Stop the worker, check that it leaves nothing, and judge for the last time."""
        assert await self.worker.terminate() == 0
        assert not any((await self.system.depths()).values()), "a worker gave jobs back although it was idle"
        assert self.system.failed.messages == []
        return self.verdict()

    def verdict(self) -> Verdict:
        """Judge all calls so far."""
        return self.ledger.judge(self.system.target.calls)


#: `async with new_arena(scheduler=…) as arena:`
NewArena = Callable[..., KillArena]


def leads(scheduler: Process) -> bool:
    """Return whether the scheduler says so, and lives."""
    said = scheduler.events("leader_changed")
    return bool(said) and said[-1]["leading"] and scheduler._process.returncode is None
