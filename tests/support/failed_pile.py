"""The failed queue with messages in it, and what is in it afterwards, as another client sees both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pika

from taskqueue.broker.connection import connect
from taskqueue.broker.failed import failed_message, with_request
from taskqueue.broker.topology import declare
from taskqueue.core.codec import encode_message
from taskqueue.core.job import JobMessage
from tests.support.values import TEN_O_CLOCK, a_message, a_task

_QUEUE = "taskqueue.jobs.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A message as it lies in the queue; headers without those of the broker."""

    body: bytes
    message_id: str | None
    headers: Mapping[str, Any]


def in_any_order(messages: list[Lying]) -> list[Lying]:
    """Return them by id: looking one by one, as `lying` does, turns the order around."""
    return sorted(messages, key=lambda message: message.message_id or "")


class FailedPile:
    """The failed queue of one virtual host. Use it in tests that are no coroutines."""

    def __init__(self, url: str) -> None:
        asyncio.run(_declare(url))
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        #: what `add` has put in, by job
        self.added: dict[str, Lying] = {}

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def add(
        self,
        number: int,
        *,
        code: str = "http_500",
        detail: str = "",
        failed_at: datetime | None = None,
        **job: Any,
    ) -> JobMessage:
        """Put in the failure of job `job-{number}`, that many minutes after the example's day began; return the job."""
        message = a_message(**{"id": f"job-{number}", "user_id": f"user-{number}"} | job)
        failed = failed_message(
            encode_message(message),
            message_id=message.job.id,
            reason="retries_exhausted",
            error_code=code,
            error_message=detail or f"the endpoint answered 500 to request {number}",
            attempts=3,
            failed_at=failed_at or TEN_O_CLOCK + timedelta(minutes=number),
            queue="taskqueue.jobs.normal",
        )
        outgoing = with_request(failed, a_task(id=message.job.task_type_id), ())
        self.put(outgoing.body, outgoing.message_id, outgoing.headers)
        self.added[message.job.id] = Lying(
            body=outgoing.body, message_id=outgoing.message_id, headers=dict(outgoing.headers)
        )
        return message

    def put(self, body: bytes, message_id: str | None = None, headers: Mapping[str, Any] | None = None) -> None:
        """Put in any message."""
        properties = pika.BasicProperties(message_id=message_id, headers=dict(headers or {}), delivery_mode=2)
        self._channel.basic_publish("", _QUEUE, body, properties)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let another consumer hold all messages."""
        channel = self._connection.channel()
        came: list[bytes] = []
        wanted = channel.queue_declare(_QUEUE, passive=True).method.message_count
        channel.basic_consume(_QUEUE, lambda _channel, _method, _properties, body: came.append(body))
        until = monotonic() + 10
        while len(came) < wanted:
            assert monotonic() < until
            self._connection.process_data_events(time_limit=0.1)
        yield
        channel.close()
        while missing := wanted - self._channel.queue_declare(_QUEUE, passive=True).method.message_count:
            assert monotonic() < until + 60, f"{missing} did not come back"

    def lying(self) -> list[Lying]:
        """Return what is in the queue; it stays there, in another order."""
        channel, found = self._connection.channel(), []
        while True:
            method, properties, body = channel.basic_get(_QUEUE)
            if method is None:
                break
            headers = {name: value for name, value in (properties.headers or {}).items() if not name.startswith("x-")}
            found.append(Lying(body=body, message_id=properties.message_id, headers=headers))
        channel.close()
        return found


async def _declare(url: str) -> None:
    session = await connect(url, "test")
    try:
        await declare(session)
    finally:
        await session.close()
