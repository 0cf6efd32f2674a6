"""What goes to the failed queue: the original bytes unchanged, and why in the headers.

The broker's own headers (`x-death`, `x-delivery-count`, ...) are never carried over: RabbitMQ before 4.0 takes an
`x-death` that comes back for a cycle and silently drops the message later.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from aiormq import spec

from taskqueue.broker.connection import Session
from taskqueue.broker.names import FAILED_QUEUE, FAILED_ROUTING_KEY
from taskqueue.broker.publisher import Outgoing
from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.failures import (
    ATTEMPTS_HEADER,
    ENDPOINT_HEADER,
    ERROR_CODE_HEADER,
    ERROR_MESSAGE_HEADER,
    FAILED_AT_HEADER,
    HOST_HEADER,
    METHOD_HEADER,
    OUTCOMES_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
    TASK_HEADER,
)
from taskqueue.core.host_limit import host_of
from taskqueue.core.instants import rfc3339
from taskqueue.core.task import Task

_MAX_ERROR_MESSAGE_BYTES = 1024
_MAX_ENDPOINT_BYTES = 2048
_MAX_OUTCOMES = 10
_MAX_CODE_CHARS = 64


def failed_message(
    body: bytes,
    *,
    message_id: str | None,
    reason: str,
    error_code: str,
    error_message: str,
    attempts: int,
    failed_at: datetime,
    queue: str,
) -> Outgoing:
    """Return the message that tells `taskqueue.jobs.failed` of a job that failed for good.

    `reason` and `error_code` are stable codes, `error_message` is for people and cut at 1 KiB of UTF-8, `queue` names
    the queue it was taken from. A message that came without an id gets a random one.
    """
    return Outgoing(
        body=body,
        message_id=message_id or str(uuid.uuid4()),
        routing_key=FAILED_ROUTING_KEY,
        headers={
            REASON_HEADER: reason,
            ERROR_CODE_HEADER: error_code,
            ERROR_MESSAGE_HEADER: _cut(error_message, _MAX_ERROR_MESSAGE_BYTES),
            ATTEMPTS_HEADER: attempts,
            FAILED_AT_HEADER: rfc3339(failed_at),
            QUEUE_HEADER: queue,
        },
        timestamp=failed_at,
    )


def with_request(failed: Outgoing, task: Task, attempts: Sequence[AttemptRecord]) -> Outgoing:
    """Return `failed` saying as well what was to be called and what the last ten of `attempts` came to.

    The endpoint stands there as the definition has it, with its references: nothing of what they stand for.
    """
    return replace(
        failed,
        headers={
            **failed.headers,
            TASK_HEADER: task.id,
            METHOD_HEADER: task.target.method,
            ENDPOINT_HEADER: _cut(task.target.endpoint, _MAX_ENDPOINT_BYTES),
            HOST_HEADER: _cut(host_of(task.target.endpoint), _MAX_ENDPOINT_BYTES),
            OUTCOMES_HEADER: json.dumps([_outcome(each) for each in attempts[-_MAX_OUTCOMES:]], separators=(",", ":")),
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedMessage:
    """A message of the failed queue: the original body, and the headers that say why it is there."""

    body: bytes
    message_id: str | None
    #: values are of any AMQP type where the message was not written by `failed_message`
    headers: Mapping[str, object] = field(default_factory=dict)


async def take_failed(session: Session, limit: int) -> list[FailedMessage]:
    """Take up to `limit` messages, the oldest first, out of the failed queue; they are then gone.

    Raises BrokerUnavailableError; what was not taken by then is back in its queue.
    """
    taken: list[FailedMessage] = []
    async with session.passing_channel("reading the failed queue") as channel:
        while len(taken) < limit:
            message = await channel.basic_get(FAILED_QUEUE)
            if not isinstance(message.delivery, spec.Basic.GetOk):
                break
            properties = message.header.properties
            taken.append(
                FailedMessage(body=message.body, message_id=properties.message_id, headers=properties.headers or {})
            )
            await channel.basic_ack(message.delivery.delivery_tag or 0)
    return taken


def _outcome(attempt: AttemptRecord) -> dict[str, object]:
    said: dict[str, object] = {"attempt": attempt.attempt, "at": rfc3339(attempt.completed_at)}
    if attempt.http_status is not None:
        return {**said, "status": attempt.http_status}
    return {**said, "code": attempt.code[:_MAX_CODE_CHARS] or attempt.outcome.value}


def _cut(text: str, most_bytes: int) -> str:
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
