"""What goes to the failed queue: the original bytes unchanged, and why in the headers.

The broker's own headers (`x-death`, `x-delivery-count`, ...) are never carried over: RabbitMQ before 4.0 takes an
`x-death` that comes back for a cycle and silently drops the message later.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from aiormq import spec

from taskqueue.broker.connection import Session
from taskqueue.broker.names import FAILED_QUEUE, FAILED_ROUTING_KEY
from taskqueue.broker.publisher import Outgoing
from taskqueue.core.instants import rfc3339

REASON_HEADER: Final = "taskqueue-reason"
ERROR_CODE_HEADER: Final = "taskqueue-error-code"
ERROR_MESSAGE_HEADER: Final = "taskqueue-error-message"
ATTEMPTS_HEADER: Final = "taskqueue-attempts"
FAILED_AT_HEADER: Final = "taskqueue-failed-at"
QUEUE_HEADER: Final = "taskqueue-queue"

_MAX_ERROR_MESSAGE_BYTES = 1024


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
            ERROR_MESSAGE_HEADER: _cut(error_message),
            ATTEMPTS_HEADER: attempts,
            FAILED_AT_HEADER: rfc3339(failed_at),
            QUEUE_HEADER: queue,
        },
        timestamp=failed_at,
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


def _cut(text: str) -> str:
    return text.encode(errors="replace")[:_MAX_ERROR_MESSAGE_BYTES].decode(errors="ignore")
