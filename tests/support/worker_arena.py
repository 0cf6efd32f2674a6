"""A system in which one worker after the other is killed at a chosen moment of its jobs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from taskqueue.core.instants import rfc3339
from tests.support.failing_processes import FailingProcesses, ForkServer, arm
from tests.support.failpoints import Failpoint
from tests.support.inbox import eventually
from tests.support.ledger import Verdict
from tests.support.message_corpus import Sent
from tests.support.message_flood import RawPublisher
from tests.support.processes import Process
from tests.support.raw_properties import short
from tests.support.system import Place, System, foreign_message, new_users
from tests.support.worker_bugs import CLAIM_TTL_VARIABLE
from tests.support.worker_ledger import Allowed, GivenJob, Kind, Seen, WorkerLedger

#: how long a dead worker's claims hold others off; fifteen seconds where nobody says otherwise
CLAIM_TTL_S = 4

#: after a crash everything has ended within that
ENDED_WITHIN_S = CLAIM_TTL_S + 10.0

_REACHED_WITHIN_S = 20.0

_PATHS: Mapping[Kind, str] = {
    "ok": "/ok",
    "slow": "/slow/1000",
    "early": "/ok",
    "retried": "/fail/1",
    "final": "/status/400",
}

#: a task's jobs never have to wait for a place, but each holds one: those of the dead must become free
_MAX_CONCURRENCY = 50


class WorkerArena:
    """Use it as a context: a scheduler, an endpoint, the judge, and with `survivor` a worker that is never killed.

    Workers that are killed have `pool_size` pairs of hands: with one there is a single job in hand when they die.
    `environment` is for all programs, which `server` forks.
    """

    def __init__(
        self,
        place: Place,
        directory: Path,
        server: ForkServer,
        *,
        survivor: bool,
        pool_size: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.system = System(place, directory)
        claims = {CLAIM_TTL_VARIABLE: str(CLAIM_TTL_S)}
        self.system.processes = FailingProcesses(directory, server, {**claims, **(environment or {})})
        self.ledger = WorkerLedger()
        self._survives = survivor
        self._pool_size = pool_size
        self._workers: list[Process] = []

    async def __aenter__(self) -> Self:
        system = self.system
        await system.__aenter__()
        try:
            system.write_tasks(
                *(system.task(kind, path, max_concurrency=_MAX_CONCURRENCY) for kind, path in _PATHS.items())
            )
            self._scheduler, first = await system.scheduler_and_worker(self._settings(4 if self._survives else None))
            self._workers.append(first)
            self._publisher = await asyncio.to_thread(RawPublisher, system.place.amqp_url)
        except BaseException:
            await system.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._publisher.close)
        await self.system.__aexit__(kind, error, traceback)

    # --- one crash ----------------------------------------------------------------------------------------------------

    async def crash(
        self, failpoint: Failpoint | None, kind: Kind, *, jobs: int, allowed: Allowed, within_s: float = ENDED_WITHIN_S
    ) -> float:
        """Give `jobs` jobs and let a worker die of them; return the seconds until all had ended, `within_s` at most.

        Without a failpoint the worker is killed from outside, while all of its jobs are being called.
        """
        victim = await self._victim()
        if failpoint is not None:
            await arm(victim, failpoint)
        self.ledger.allowed.append(allowed)
        calls = len(self.system.target.calls)
        await self._give(kind, jobs)
        if failpoint is not None:
            await victim.wait_for("failpoint_reached", within=_REACHED_WITHIN_S)
            await victim.ended(5)
        else:
            # With a survivor each of them has some; alone it has as many in hand as it can.
            called = calls + (jobs if self._survives else min(jobs, self._pool_size))
            await self.system.target.wait_for_calls(called)
            await victim.kill()
        self._workers.remove(victim)
        began = asyncio.get_running_loop().time()
        if not self._workers:
            await self._hire()
        await self._settled(within_s)
        return asyncio.get_running_loop().time() - began

    async def verdict(self) -> Verdict:
        """Judge everything so far."""
        return self.ledger.judge(await self._seen())

    async def finish(self) -> Verdict:
        """Stop the workers, check that they leave nothing, and judge for the last time."""
        for worker in self._workers:
            assert await worker.terminate() == 0
        assert not any((await self.system.depths()).values()), "a worker gave messages back although it was idle"
        assert self._scheduler.events("loop_failed") == []
        return await self.verdict()

    # --- within -------------------------------------------------------------------------------------------------------

    def _settings(self, pool_size: int | None = None) -> dict[str, dict[str, object]]:
        return {"worker": {"pool_size": pool_size or self._pool_size}}

    async def _victim(self) -> Process:
        if self._survives:
            await self._hire()
        return self._workers[-1]

    async def _hire(self) -> None:
        worker = await self.system.worker(self._settings())
        self._workers.append(worker)
        await worker.wait_ready()

    async def _give(self, kind: Kind, count: int) -> None:
        jobs: list[GivenJob] = []
        messages: list[tuple[str, Sent]] = []
        for user in new_users(count):
            due = datetime.now(UTC) + timedelta(seconds=3 if kind == "early" else -1)
            message = foreign_message(kind, user, execute_after=rfc3339(due))
            job = GivenJob(id=message["job"]["id"], user=user, kind=kind)
            body = json.dumps(message).encode() if kind != "malformed" else f"no job: {job.id}".encode()
            jobs.append(job)
            messages.append(("jobs.normal", Sent(body=body, properties={"message_id": short(job.id.encode())})))
        self.ledger.jobs += jobs
        await asyncio.to_thread(self._publisher.publish, messages)

    async def _settled(self, within: float) -> None:
        """Wait until every job has ended and nothing is left to do. What has not ended by then is lost."""
        left: Sequence[str] = ()

        async def over() -> bool:
            nonlocal left
            left = () if self.ledger.open(await self._seen()) else await self._left()
            return not self.ledger.open(await self._seen()) and not left

        try:
            await eventually(over, within)
        except TimeoutError:
            if left:
                raise AssertionError(f"all jobs ended, and after {within} s there is still {left}") from None

    async def _left(self) -> Sequence[str]:
        """Return what a system at rest does not have."""
        redis = self.system.redis
        found = [str(key, "utf-8") for pattern in _PASSING for key in await redis.keys(pattern)]
        found += [f"{count} in {queue}" for queue, count in (await self.system.depths()).items() if count]
        active = [(await worker.http.get("/health")).json()["active_jobs"] for worker in self._workers]
        return found + [f"{count} active" for count in active if count]

    async def _seen(self) -> Seen:
        redis, jobs = self.system.redis, [job for job in self.ledger.jobs if job.end is not None]
        seen = Seen(failed=Counter(message.message_id or "" for message in self.system.failed.messages))
        attempts, keys = defaultdict[str, list[int]](list), defaultdict[str, set[str]](set)
        for call in self.system.target.calls:
            key = unquote(call.headers["idempotency-key"])
            attempts[key].append(int(call.headers["x-taskqueue-attempt"]))
            keys[call.headers["x-taskqueue-user"]].add(key)
        seen.attempts, seen.keys = dict(attempts), dict(keys)
        if jobs:
            records = await redis.mget([f"taskqueue:execution:{job.id}" for job in jobs])
            done = await redis.mget([f"taskqueue:done:{job.id}" for job in jobs])
            for job, record, word in zip(jobs, records, done, strict=True):
                seen.statuses[job.id] = json.loads(record)["status"] if record else None
                seen.done[job.id] = str(word, "utf-8") if word else None
        for day in await redis.keys("taskqueue:metrics:executions:*"):
            for task, count in (await redis.hgetall(day)).items():
                seen.counted[str(task, "utf-8")] += int(count)
        return seen


#: there only while a job waits, or runs
_PASSING = (
    "taskqueue:claim:*",
    "taskqueue:delayed",
    "taskqueue:delayed:job:*",
    "taskqueue:waiting*",
    "taskqueue:running:*",
)
