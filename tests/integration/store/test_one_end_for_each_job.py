"""Whatever workers, the leader and those who cancel do to a job, in any order: it ends once, and stays ended."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.codec import encode_message
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.state import Status
from taskqueue.store import keys
from taskqueue.store.cancellations import CancelAnswer, Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import Claimant, JobStore, Verdict
from taskqueue.store.scripts import Scripts
from tests.support.claims import KEPT, due_job, terms, worker_lives
from tests.support.values import a_record

WORKERS = ("worker-1:aa", "worker-2:bb")
OCCURRENCE = "20240115T100000Z"

workers = st.sampled_from(WORKERS)


class PausedCancellations(Cancellations):
    """Waits for `go_on` between its two questions."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        super().__init__(store, scripts)
        self.go_on = asyncio.Event()

    async def _ask(self, job_id: str, record: ExecutionResult | None = None, occurrence: str = "") -> list[Any]:
        if record is not None:
            await self.go_on.wait()
        return await super()._ask(job_id, record, occurrence)


class OneJob(RuleBasedStateMachine):
    """One job of a counted occurrence, two workers with a delivery each, and messages that come again at any time."""

    redis_settings: RedisSettings

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run = self.runner.run
        self.runner.get_loop()
        self.job = due_job()
        #: who calls it now, with the attempt
        self.calling: dict[str, Job] = {}
        self.deliveries = 0
        self.current: dict[str, Claimant] = {}
        #: never again to be called
        self.forbidden = False
        self.end: bytes | None = None
        self.paused: asyncio.Task[CancelAnswer] | None = None
        self.run(self._open())

    async def _open(self) -> None:
        self.store = RedisStore(self.redis_settings, client_name="taskqueue-test")
        scripts = Scripts(self.store, asset_dir("lua"))
        self.jobs = JobStore(self.store, scripts)
        self.cancellations = Cancellations(self.store, scripts)
        self.slow = PausedCancellations(self.store, scripts)
        await self.store.command("FLUSHDB")
        occurrence = keys.occurrence(self.job.task_type_id, OCCURRENCE)
        await self.store.command("HSET", occurrence, "counted_for", "m", "state", "released", "planned", 5)

    def teardown(self) -> None:
        """Close what the machine has opened."""

        async def close() -> None:
            self.slow.go_on.set()
            if self.paused is not None:
                await self.paused
            await self.store.close()

        self.run(close())
        self.runner.close()

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(worker=workers, attempt=st.integers(1, 3))
    def deliver(self, worker: str, attempt: int) -> None:
        """A message of the job comes to a worker, again or for the first time."""
        self.deliveries += 1
        claimant = Claimant(incarnation=worker, delivery=self.deliveries)
        job = replace(self.job, attempt=attempt)
        self.run(worker_lives(self.jobs, claimant))
        if worker in self.calling:
            return  # its hands are full with that job
        if self.run(self.jobs.admit(job, claimant, terms())).verdict is Verdict.RUN:
            assert not self.forbidden
            self.calling[worker], self.current[worker] = job, claimant

    @rule(worker=workers)
    def die(self, worker: str) -> None:
        """A worker is taken for dead, and may yet go on."""
        self.run(self.jobs.last_beat(worker))

    @precondition(lambda self: self.calling)
    @rule(data=st.data(), status=st.sampled_from([Status.SUCCESS, Status.FAILED, Status.CANCELLED]))
    def finish(self, data: st.DataObject, status: Status) -> None:
        """A call comes to its end."""
        worker = data.draw(st.sampled_from(sorted(self.calling)))
        job = self.calling.pop(worker)
        self._finish(job, self.current[worker], status)

    @precondition(lambda self: self.calling)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A call fails and is to be tried again."""
        worker = data.draw(st.sampled_from(sorted(self.calling)))
        job = self.calling.pop(worker)
        if self._postpone(job, self.current[worker], job.attempt + 1) == "cancelled":
            self._finish(job, self.current[worker], Status.CANCELLED)

    @rule()
    def park(self) -> None:
        """A delivery that nobody has claimed waits for its turn."""
        self._postpone(self.job, Claimant(incarnation="", delivery=0), self.job.attempt)

    @rule()
    def release(self) -> None:
        """The leader has published what waits."""
        self.run(self.store.command("ZREM", keys.DELAYED, self.job.id))
        self.run(self.store.command("DEL", keys.delayed_job(self.job.id)))

    @rule()
    def cancel(self) -> None:
        """Somebody cancels the job."""
        self._answered(self.run(self.cancellations.cancel(self.job.id)))

    @precondition(lambda self: self.paused is None)
    @rule()
    def begin_to_cancel(self) -> None:
        """Somebody cancels the job and is held up half-way."""
        self.slow.go_on.clear()

        async def begin() -> asyncio.Task[CancelAnswer]:
            task = asyncio.create_task(self.slow.cancel(self.job.id))
            await self.store.command("PING")
            return task

        self.paused = self.run(begin())

    @precondition(lambda self: self.paused is not None)
    @rule()
    def go_on_cancelling(self) -> None:
        """Whoever was held up goes on."""
        assert self.paused is not None
        paused, self.paused = self.paused, None
        self.slow.go_on.set()

        async def result() -> CancelAnswer:
            return await paused

        self._answered(self.run(result()))

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def it_ends_once(self) -> None:
        """The marker of the end never changes, says what the record says, and is counted once."""
        done, record, ended = self.run(self._looked_up())
        if self.end is None:
            self.end = done
        assert done == self.end
        assert ended == int(done is not None)
        if done is not None:
            self.forbidden = True
            assert done.startswith(str(json.loads(record)["status"]).encode()[:4])

    @invariant()
    def it_waits_nowhere_once_cancelling_has_ended_it(self) -> None:
        """A job in no list cannot be released. What a worker ended may wait as a copy, which is dropped in its turn."""
        _, record, _ = self.run(self._looked_up())
        if self.end == b"cancelled" and not json.loads(record)["worker_id"]:
            assert self.run(self.store.command("ZSCORE", keys.DELAYED, self.job.id)) is None

    async def _looked_up(self) -> tuple[bytes | None, bytes, int]:
        done = await self.store.command("GET", keys.done(self.job.id))
        record = await self.store.command("GET", keys.execution(self.job.id))
        ended = await self.store.command("HGET", keys.occurrence(self.job.task_type_id, OCCURRENCE), "ended")
        return done, record, int(ended or 0)

    def _finish(self, job: Job, claimant: Claimant, status: Status) -> None:
        reason = "permanent" if status is Status.FAILED else ""
        record = a_record(job, status=status)
        self.run(
            self.jobs.finish(job, claimant, record, fail_reason=reason, called=True, kept=KEPT, occurrence=OCCURRENCE)
        )

    def _postpone(self, job: Job, claimant: Claimant, following: int) -> str:
        metadata = Metadata(correlation_id=f"{job.task_type_id}:{OCCURRENCE}", source="scheduler")
        return self.run(
            self.jobs.postpone(
                job,
                claimant,
                next_attempt=following,
                until=datetime.now(UTC) + timedelta(minutes=1),
                body=encode_message(JobMessage(job=replace(job, attempt=following), metadata=metadata)),
                record=a_record(job, status=Status.RETRYING, occurrence=OCCURRENCE)
                if following > job.attempt
                else None,
                kept=KEPT,
            )
        )

    def _answered(self, answer: CancelAnswer) -> None:
        """From here on nobody may begin a call."""
        self.forbidden = True
        if answer.outcome is CancelOutcome.CANCELLED:
            assert self.run(self.store.command("GET", keys.done(self.job.id))) == b"cancelled"


@pytest.mark.timeout(120)
def test_a_job_ends_once_and_is_never_called_after_it_was_cancelled(redis_settings: RedisSettings) -> None:
    class Machine(OneJob):
        pass

    Machine.redis_settings = redis_settings
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # hypothesis left it without types
        Machine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
