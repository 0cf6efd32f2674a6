"""One run of the demo on a playground: begin at a whole minute, watch until everything has happened, judge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from taskqueue.broker.failed import take_failed
from taskqueue.dev.demo_expectation import DemoTrigger, ExpectedJob, expected_jobs
from taskqueue.dev.demo_inputs import MANUAL, REPORT, TASKS, triggered_users
from taskqueue.dev.demo_judge import Defect, Evidence, Kind, Matcher, judge
from taskqueue.dev.demo_observe import read_plan, seen_call, seen_failure
from taskqueue.dev.demo_plants import Plant, plant_doubled, plant_early, plant_lost
from taskqueue.dev.demo_progress import Progress
from taskqueue.dev.playground import Playground
from taskqueue.errors import ServiceError
from taskqueue.runtime import utc_now
from taskqueue.store import keys

#: the planner gets at least so long before the minute that is judged
_PLANNING = timedelta(seconds=5)

#: the plan is read at least so long before the first of it leaves Redis
_READING = timedelta(seconds=0.5)

#: whole minutes that are tried; on a busy machine the first one may come too soon
_MINUTES_TRIED = 3

#: after the minute: when the triggers are sent
_TRIGGER_AFTER = timedelta(seconds=1)

#: after the window: at least so long to see calls that should not be, at most so long for retries and lateness
_LEAST_AFTER_WINDOW = timedelta(seconds=2)
_MOST_AFTER_WINDOW = timedelta(seconds=15)

_MINUTE = timedelta(minutes=1)
_POLL_S = 0.25
_TAKEN_AT_ONCE = 1000

#: defects that time may still cure while the demo runs
_UNFINISHED = frozenset({Kind.LOST, Kind.ATTEMPTS, Kind.FAILED_QUEUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to."""

    expected: Sequence[ExpectedJob]
    evidence: Evidence
    defects: Sequence[Defect]


class DemoRun:
    """Runs once. `lead` is the scheduler's: until so long before they are due, jobs stand in Redis to be seen."""

    def __init__(
        self, ground: Playground, progress: Progress, *, window: timedelta, lead: timedelta, plants: frozenset[Plant]
    ) -> None:
        self._ground = ground
        self._progress = progress
        self._window = window
        self._lead = lead
        self._plants = plants
        self._began = utc_now()
        self._minute = next_minute(self._began)
        self._triggers: list[DemoTrigger] = []
        self._evidence = Evidence()

    async def run(self) -> Result:
        """Return what was expected, what was seen and what is wrong. Raises TaskqueueError."""
        await self._plan()
        await self._opt_out()
        await self._plant(Plant.LOST, Plant.EARLY)
        await _sleep_until(self._minute + _TRIGGER_AFTER)
        await self._trigger()
        await self._watch()
        await self._plant(Plant.DOUBLED)
        self._progress.say("scheduler and worker finish what they have and end")
        codes = await self._ground.stop()
        await self._observe()
        expected = self._expected(self._minute)
        ended_badly = [
            Defect(kind=Kind.PROCESS, text=f"the {name} ended with exit code {code} instead of 0")
            for name, code in codes.items()
            if code != 0
        ]
        defects = [*judge(expected, self._evidence), *ended_badly]
        return Result(expected=expected, evidence=self._evidence, defects=defects)

    # --- before the minute --------------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        """Wait for the first whole minute whose users all stand in slot lists in good time."""
        for _ in range(_MINUTES_TRIED):
            self._minute = next_minute(utc_now() + _PLANNING)
            wanted = {(job.task_id, job.user_id) for job in self._expected(self._minute) if job.required}
            self._progress.say(f"the minute to watch begins at {self._minute:%H:%M:%S} UTC")
            while utc_now() < self._minute - self._lead - _READING:
                planned = await read_plan(self._ground.plan, self._ground.store, self._minute)
                if wanted <= {(plan.task_id, plan.user_id) for plan in planned}:
                    self._evidence = replace(self._evidence, planned=planned)
                    self._progress.say(f"{len(planned)} jobs are planned, spread over {self._window.seconds} s")
                    return
                await asyncio.sleep(_POLL_S)
        raise ServiceError(f"the scheduler left users out of its plan, {_MINUTES_TRIED} minutes in a row")

    async def _opt_out(self) -> None:
        """Let users change their minds after they were planned, as any other system would."""
        choices = [(user.user_id, task_id) for user in self._ground.users for task_id in sorted(user.opts_out_of)]
        await self._ground.store.pipeline([("HSET", keys.user_tasks(user), task_id, 0) for user, task_id in choices])
        self._progress.say(f"{len(choices)} users switch off a task that is planned for them already")

    async def _plant(self, *plants: Plant) -> None:
        for plant in sorted(self._plants.intersection(plants)):
            match plant:
                case Plant.LOST:
                    user = await plant_lost(self._ground, self._evidence.planned)
                case Plant.EARLY:
                    user = await plant_early(self._ground, self._evidence.planned)
                case Plant.DOUBLED:
                    user = await plant_doubled(self._ground)
            self._progress.say(f"planted: {plant}, {REPORT} for {user}")

    # --- from the minute on -------------------------------------------------------------------------------------------

    async def _trigger(self) -> None:
        at_once, spread = triggered_users(self._ground.users)
        async with httpx.AsyncClient(base_url=self._ground.scheduler_url, timeout=10.0, trust_env=False) as client:
            for user_ids, immediately in ((at_once, True), (spread, False)):
                sent_from = utc_now()
                body = {"task_type_id": MANUAL, "user_ids": user_ids, "execute_immediately": immediately}
                answer = await client.post("/schedule/trigger", json=body)
                if answer.status_code != httpx.codes.ACCEPTED:
                    raise ServiceError(f"POST /schedule/trigger was answered {answer.status_code}: {answer.text}")
                self._triggers.append(
                    DemoTrigger(
                        task_id=MANUAL,
                        user_ids=user_ids,
                        immediately=immediately,
                        sent_from=sent_from,
                        sent_until=utc_now(),
                    )
                )
        self._progress.say(f"triggered by hand: {MANUAL} for {len(at_once)} users now, {len(spread)} more in 10 s")

    async def _watch(self) -> None:
        window_end = self._minute + self._window
        while utc_now() < window_end + _MOST_AFTER_WINDOW:
            await self._observe()
            expected = self._expected(self._minute)
            unfinished = {defect.kind for defect in judge(expected, self._evidence)} & _UNFINISHED
            self._tell(expected)
            if not unfinished and utc_now() > window_end + _LEAST_AFTER_WINDOW:
                return
            await asyncio.sleep(_POLL_S)

    async def _observe(self) -> None:
        failures = [seen_failure(message) for message in await take_failed(self._ground.session, _TAKEN_AT_ONCE)]
        self._evidence = replace(
            self._evidence,
            calls=[seen_call(call) for call in self._ground.target.calls],
            failures=[*self._evidence.failures, *failures],
        )

    def _tell(self, expected: Iterable[ExpectedJob]) -> None:
        required = [job for job in expected if job.required and job.called]
        matcher = Matcher(required)
        calls = [call for call in self._evidence.calls if matcher.job_of(call) is not None]
        refused = sum(call.status != httpx.codes.OK for call in calls)
        failed = len(self._evidence.failures)
        self._progress.calls(
            len(calls), sum(job.attempts for job in required), f", {refused} refused, {failed} failed for good"
        )

    def _expected(self, minute: datetime) -> list[ExpectedJob]:
        first = next_minute(self._began)
        count = (utc_now() - first) // _MINUTE + 1
        every = [first + number * _MINUTE for number in range(count)]
        return expected_jobs(
            TASKS,
            self._ground.users,
            judged=minute,
            beside=[other for other in every if other != minute],
            triggers=self._triggers,
            window=self._window,
        )


def next_minute(instant: datetime) -> datetime:
    """Return the first whole minute after `instant`."""
    return instant.replace(second=0, microsecond=0) + _MINUTE


async def _sleep_until(instant: datetime) -> None:
    await asyncio.sleep(max(0.0, (instant - utc_now()).total_seconds()))
