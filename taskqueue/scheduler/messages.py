"""From a planned user to the message that is published."""

from __future__ import annotations

import json
from contextlib import suppress

from taskqueue.core.codec import encode_message
from taskqueue.core.job import NOT_DISTRIBUTED, Job, JobMessage, Metadata
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.task import Priority
from taskqueue.store.plan import SlotUser


def encoded_job(occurrence: Occurrence, index: int, user: SlotUser, priority: Priority) -> bytes:
    """Return the encoded message of the user at `index` of the occurrence's order."""
    job = Job(
        id=occurrence.job_id(user.user_id),
        task_type_id=occurrence.task_id,
        user_id=user.user_id,
        scheduled_at=occurrence.scheduled_at,
        execute_after=occurrence.execute_after(index),
        attempt=1,
        priority=priority,
        payload=payload_of(user),
        created_at=occurrence.created_at,
    )
    metadata = Metadata(
        correlation_id=occurrence.correlation_id,
        source=occurrence.source.value,
        distribution_slot=occurrence.spread.slot(index) if occurrence.distributed else NOT_DISTRIBUTED,
    )
    return encode_message(JobMessage(job=job, metadata=metadata))


def payload_of(user: SlotUser) -> bytes:
    """Return the body of the user's call: the user's id, and the parameters where there are any.

    Parameters that are no JSON object (RFC 8259) were written by another system by mistake; the call is made without
    them.
    """
    payload: dict[str, object] = {"user_id": user.user_id}
    # What cannot be written again (NaN, a lone surrogate, endless nesting) must not keep the job from going out.
    with suppress(ValueError, RecursionError):
        parameters = json.loads(user.parameters) if user.parameters else None
        if isinstance(parameters, dict) and parameters:
            return _json(payload | {"parameters": parameters})
    return _json(payload)


def _json(payload: dict[str, object]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
