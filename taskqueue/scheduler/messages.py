"""From a planned user to the message that is published."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime

from taskqueue.core.codec import MessageMold, quoted
from taskqueue.core.job import NOT_DISTRIBUTED, Job, JobMessage, Metadata
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.task import Priority
from taskqueue.store.plan import SlotUser


class PlannedMessages:
    """The messages of one occurrence's jobs; a user is known by the index in its order."""

    __slots__ = ("_distributed", "_ids", "_mold", "_spread", "_starts_at")

    def __init__(self, occurrence: Occurrence, priority: Priority) -> None:
        self._ids = occurrence.job_ids()
        self._mold = MessageMold(_example(occurrence, priority))
        self._spread = occurrence.spread
        self._starts_at = occurrence.starts_at
        self._distributed = occurrence.distributed

    def due(self, index: int) -> datetime:
        """Return when the user's job is due."""
        return self._starts_at + self._spread.offset(index)

    def encode(self, index: int, user: SlotUser) -> tuple[str, bytes]:
        """Return the job's id and its encoded message."""
        job_id = self._ids(user.user_id)
        body = self._mold.encode(
            job_id=job_id,
            user_id=user.user_id,
            execute_after=self.due(index),
            payload=payload_of(user),
            slot=self._spread.slot(index) if self._distributed else NOT_DISTRIBUTED,
        )
        return job_id, body


def _example(occurrence: Occurrence, priority: Priority) -> JobMessage:
    job = Job(
        id="",
        task_type_id=occurrence.task_id,
        user_id="",
        scheduled_at=occurrence.scheduled_at,
        execute_after=occurrence.starts_at,
        attempt=1,
        priority=priority,
        payload=b"",
        created_at=occurrence.created_at,
    )
    return JobMessage(
        job=job, metadata=Metadata(correlation_id=occurrence.correlation_id, source=occurrence.source.value)
    )


def payload_of(user: SlotUser) -> bytes:
    """Return the body of the user's call: the user's id, and the parameters where there are any.

    Parameters that are no JSON object (RFC 8259) were written by another system by mistake; the call is made without
    them.
    """
    # What cannot be written again (NaN, a lone surrogate, endless nesting) must not keep the job from going out.
    with suppress(ValueError, RecursionError):
        parameters = json.loads(user.parameters) if user.parameters else None
        if isinstance(parameters, dict) and parameters:
            payload = {"user_id": user.user_id, "parameters": parameters}
            return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return f'{{"user_id":{quoted(user.user_id)}}}'.encode()
