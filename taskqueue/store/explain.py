"""Reads what Redis tells of a user's share of an occurrence, or of a run of an API task, and has it explained.

A dozen questions, each bounded, whatever the audience: nothing is scanned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from taskqueue.config.catalog import read_custom_interval, task_from_json
from taskqueue.core.due import latest_until
from taskqueue.core.explain import Share, explain_share, presumed_slot
from taskqueue.core.explanation import Explanation, PreferenceFacts, SlotFacts, TaskFacts
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress, scheduled_occurrence_id
from taskqueue.core.preference import enablement
from taskqueue.core.skipped import SkippedInstants
from taskqueue.core.slots import cursor_of, order_key
from taskqueue.core.state import TERMINAL
from taskqueue.core.task import Interval, Task, TaskSource
from taskqueue.core.zones import FIRST_INSTANT, LAST_INSTANT
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import due_member
from taskqueue.store.executions import readable
from taskqueue.store.explain_jobs import SeenJob, instant_of, limits_before, seen_jobs
from taskqueue.store.explain_runs import RunExplainer
from taskqueue.store.explain_slots import Sought, seek_user
from taskqueue.store.occurrence_record import readable_record
from taskqueue.store.preferences import PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import CustomInterval, Switches

#: the latest instant of a rule is looked for so far back: leap days are at most eight years apart
_LOOK_BACK = timedelta(days=3660)


class ExplainRefusal(StrEnum):
    """Why nothing is explained."""

    NO_SUCH_TASK = "no_such_task"
    #: a task of tasks.yaml runs for users, and none was named
    USER_MISSING = "user_missing"
    #: a task made through the API has no users, and one was named
    NO_USERS = "no_users"


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """A user as the scheduler sees them for one task; `cohort` is the default one without a custom interval."""

    user_id: str
    preference: PreferenceFacts
    cohort: str = DEFAULT_COHORT
    own: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cohort:
    """How it stands with a cohort: where its due entry is, and what it has skipped."""

    due_at: datetime | None
    waited: bool
    skipped: Sequence[SkippedInstants]

    def skipped_at(self, instant: datetime) -> SkippedInstants | None:
        return next((each for each in reversed(self.skipped) if each.covers(instant)), None)


class Explainer:
    """Explains tasks. Raises StoreUnavailableError when no answer came, DamagedKeyError where a key is none of ours."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def explain(
        self, task_id: str, user_id: str | None, *, at: datetime | None, now: datetime
    ) -> Explanation | ExplainRefusal:
        """Explain the occurrence at or before `at`, or the latest that has come due; both ids are valid ones."""
        known = await ApiTaskStore(self._store, self._scripts).get(task_id)
        if known is not None and known[0].source is TaskSource.API:
            if user_id is not None:
                return ExplainRefusal.NO_USERS
            return await RunExplainer(self._store, self._scripts).explain(known, at=at, now=now)
        found = await self._task(task_id)
        if found is None:
            return ExplainRefusal.NO_SUCH_TASK
        if user_id is None:
            return ExplainRefusal.USER_MISSING
        return await self._explain(*found, user_id, at, now)

    async def _explain(
        self, task: Task, facts: TaskFacts, user_id: str, at: datetime | None, now: datetime
    ) -> Explanation:
        user = await self._user(task, user_id)
        # Some rules take a tenth of a second: not on the event loop.
        instants = await asyncio.to_thread(_instants, task.rule(user.own), at or now)
        latest, following = await self._shares(task, user, instants, now)
        if latest is not None and following is not None and following.planned is None and latest.planned is not None:
            following = replace(following, slot=_like(latest.planned[0], following.scheduled_at, user_id))
        return explain_share(
            user_id=user_id, now=now, task=facts, preference=user.preference, latest=latest, following=following
        )

    # --- the task and the user ----------------------------------------------------------------------------------------

    async def _task(self, task_id: str) -> tuple[Task, TaskFacts] | None:
        text, revision, removed, paused = await self._store.read(
            ("HGET", keys.CATALOG, task_id),
            ("GET", keys.CATALOG_REVISION),
            ("HEXISTS", keys.CATALOG_REMOVED, task_id),
            ("SISMEMBER", keys.API_PAUSED, task_id),
        )
        try:
            task = None if text is None else task_from_json(text)
        except InvalidValueError:
            return None  # of a newer leader, or of another hand
        if task is None:
            return None
        gone = bool(removed) or task.removed
        return task, TaskFacts(
            task_id=task.id,
            source=task.source,
            enabled=task.enabled and not gone,
            paused=bool(paused) and not gone,
            removed=gone,
            revision=None if revision is None else revision.decode(errors="replace"),
            interval=task.interval.as_dict(),
            start_at=task.start_at,
            end_at=task.end_at,
            overlap=task.overlap.value,
            catch_up=task.catch_up.value,
            max_age=task.max_age,
        )

    async def _user(self, task: Task, user_id: str) -> _User:
        found = await PreferenceStore(self._store, self._scripts).read(
            [keys.user_tasks(user_id), keys.user_settings(user_id, task.id)]
        )
        switches = next((each for each in found if isinstance(each, Switches)), Switches(user_id=user_id, exists=False))
        text = next((each.text for each in found if isinstance(each, CustomInterval)), None)
        own = None if text is None else read_custom_interval(text)
        decided = enablement(
            switch=switches.switch(task.id), known=switches.exists, default_enabled=task.default_enabled
        )
        cohort, interval = own if isinstance(own, tuple) else (DEFAULT_COHORT, None)
        preference = PreferenceFacts(
            decided=decided,
            switch=switches.switch(task.id),
            interval=None if interval is None else interval.as_dict(),
            problem=own if isinstance(own, str) else None,
        )
        return _User(user_id=user_id, preference=preference, cohort=cohort, own=interval)

    # --- shares -------------------------------------------------------------------------------------------------------

    async def _shares(
        self, task: Task, user: _User, instants: tuple[datetime | None, datetime | None], now: datetime
    ) -> tuple[Share | None, Share | None]:
        wanted = [instant for instant in instants if instant is not None]
        cohort = await self._cohort(task.id, user.cohort)
        records = await self._records(task.id, user.cohort, wanted)
        # Last: what was released since then shows in the job.
        jobs = await seen_jobs(self._store, [scheduled_job_id(task.id, user.user_id, instant) for instant in wanted])
        shares = {
            instant: await self._share(user, cohort, records.get(instant), job, instant)
            for instant, job in zip(wanted, jobs, strict=True)
        }
        latest, following = (None if instant is None else shares[instant] for instant in instants)
        if latest is not None and (latest.job.known or latest.planned) and latest.job.status not in TERMINAL:
            limits = await limits_before(self._store, self._scripts, task, now)
            latest = replace(latest, job=replace(latest.job, limits=limits))
        return latest, following

    async def _share(
        self,
        user: _User,
        cohort: _Cohort,
        record: tuple[Occurrence, Progress, int | None] | None,
        seen: SeenJob,
        instant: datetime,
    ) -> Share:
        share = Share(
            scheduled_at=instant,
            job=seen.facts,
            slot=seen.slot,
            skipped=cohort.skipped_at(instant),
            due_at=cohort.due_at,
            waited=cohort.waited,
        )
        return share if record is None else await self._planned_share(share, record, user.user_id)

    async def _planned_share(
        self, share: Share, record: tuple[Occurrence, Progress, int | None], user_id: str
    ) -> Share:
        occurrence, progress, ended = record
        sought = Sought()
        behind_cursor = cursor_of(order_key(occurrence.task_id, user_id), user_id) > progress.cursor
        in_a_list = progress.released < progress.planned and (progress.complete or not behind_cursor)
        if in_a_list and not share.job.known:
            sought = await seek_user(self._store, occurrence, progress, user_id)
        return replace(
            share,
            planned=(occurrence, progress),
            ended=ended,
            slot=share.slot or sought.slot or presumed_slot(occurrence, user_id),
            in_slot=True if sought.slot is not None else (False if sought.absent else None),
            behind_cursor=behind_cursor,
            skipped=None,
        )

    async def _cohort(self, task_id: str, cohort: str) -> _Cohort:
        member = due_member(task_id, cohort)
        score, held, texts = await self._store.read(
            ("ZSCORE", keys.DUE, member),
            ("HGET", keys.DUE_HELD_INSTANTS, member),
            ("LRANGE", keys.skipped(member), 0, -1),
        )
        held_at, _, waited = (held or b"").partition(b":")
        skipped = readable(SkippedInstants.from_json, texts)
        return _Cohort(due_at=instant_of(held_at or score), waited=bool(waited), skipped=skipped)

    async def _records(
        self, task_id: str, cohort: str, instants: Sequence[datetime]
    ) -> Mapping[datetime, tuple[Occurrence, Progress, int | None]]:
        """Return what was planned at the instants: of the user's cohort, or else of the default one.

        The job's id is the same in both, and the user may have got the interval since.
        """
        asked = [(instant, each) for instant in instants for each in dict.fromkeys((DEFAULT_COHORT, cohort))]
        ids = [scheduled_occurrence_id(each, instant) for instant, each in asked]
        replies = await self._store.pipeline([("HGETALL", keys.occurrence(task_id, each)) for each in ids])
        found = dict[datetime, tuple[Occurrence, Progress, int | None]]()
        for (instant, _), occurrence_id, reply in zip(asked, ids, replies, strict=True):
            if reply:
                found[instant] = _record(task_id, occurrence_id, reply)
        return found


def _instants(rule: Interval, reference: datetime) -> tuple[datetime | None, datetime | None]:
    reference = min(max(reference, FIRST_INSTANT), LAST_INSTANT)
    return latest_until(rule, reference, _LOOK_BACK), rule.next_after(reference)


def _like(occurrence: Occurrence, instant: datetime, user_id: str) -> SlotFacts | None:
    """Return when it will be about the user's turn, should the next occurrence be like this one."""
    return presumed_slot(replace(occurrence, scheduled_at=instant, starts_at=instant), user_id)


def _record(task_id: str, occurrence_id: str, reply: Any) -> tuple[Occurrence, Progress, int | None]:
    occurrence, progress = readable_record(keys.occurrence(task_id, occurrence_id), f"{task_id}:{occurrence_id}", reply)
    ended = reply.get(b"ended")
    return occurrence, progress, int(ended) if ended is not None and ended.isdigit() else None
