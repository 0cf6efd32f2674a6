"""Messages of any kind for a real worker, good ones among them, and the judge of what became of them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import pika

from taskqueue.broker.names import EXCHANGE, READY_ROUTING_KEYS
from taskqueue.core.codec import MAX_BODY_BYTES, MAX_STORED_BYTES, decode_message
from taskqueue.errors import MessageError
from tests.support.inbox import eventually
from tests.support.message_corpus import RUNS, TASK, WAITS, Case, Sent, encoded, good_document
from tests.support.processes import Process
from tests.support.raw_properties import RawProperties, packed
from tests.support.system import System

#: a good message after so many others
_GOOD_AFTER = 5

#: seconds for everything that was sent to have its end, on a busy machine
_JUDGED_WITHIN_S = 40.0

#: what becomes of a job that is due at about this moment: it may have waited, and may have been called by now
EITHER = "either"


def fate(sent: Sent, now: datetime, max_age: timedelta) -> tuple[str, str | None]:
    """Return how the message must end (as Case.ends says, or EITHER) and the id of its job, by decoding it here."""
    try:
        job = decode_message(sent.body, MAX_STORED_BYTES if sent.ours else MAX_BODY_BYTES).job
    except MessageError as error:
        return error.reason, None
    if job.task_type_id != TASK:
        return "unknown_task", job.id
    if abs(job.execute_after - now) < timedelta(minutes=2) and job.execute_after > now - timedelta(seconds=1):
        return EITHER, job.id
    if job.execute_after > now:
        return WAITS, job.id
    return ("expired" if sent.ours and now - job.execute_after > max_age else RUNS), job.id


@dataclass(slots=True)
class _Books:
    """What must be: ends in the failed queue, by body and reason; ids of jobs, by how they end."""

    failed: Counter[tuple[bytes, object]] = field(default_factory=Counter)
    jobs: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    known: set[str] = field(default_factory=set)


class Flood:
    """Use it as a context: `worker` gets what is sent, and the endpoint and the failed queue of `system` are judged."""

    def __init__(self, system: System, worker: Process, max_age: timedelta) -> None:
        self._system = system
        self._worker = worker
        self._max_age = max_age
        self._books = _Books()
        self._routing_keys = itertools.cycle(READY_ROUTING_KEYS)
        self.sent = 0

    async def __aenter__(self) -> Self:
        self._publisher = await asyncio.to_thread(RawPublisher, self._system.place.amqp_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._publisher.close)

    async def send(self, messages: Sequence[Sent]) -> None:
        """Send the messages with good ones among them, and return when all have ended as they must.

        Raises AssertionError naming those that have not.
        """
        now = datetime.now(UTC)
        mixed: list[Sent] = []
        for number, message in enumerate(messages):
            mixed.append(message)
            if number % _GOOD_AFTER == _GOOD_AFTER - 1 or number == len(messages) - 1:
                mixed.append(Sent(body=encoded(good_document())))
        sent = [message for message in mixed if self._expect(message, *fate(message, now, self._max_age))]
        await asyncio.to_thread(self._publisher.publish, [(next(self._routing_keys), message) for message in sent])
        self.sent += len(sent)
        with suppress(TimeoutError):
            await eventually(self._all_ended, _JUDGED_WITHIN_S)
        await self._check()

    async def send_cases(self, cases: Mapping[str, Case]) -> None:
        """Send the cases. Raises AssertionError where one does not end as it says, or as decoding it here says."""
        now = datetime.now(UTC)
        differing = {
            name: (case.ends, end)
            for name, case in cases.items()
            if (end := fate(case.sent, now, self._max_age)[0]) not in {case.ends, EITHER}
        }
        assert differing == {}, f"decoded here it ends otherwise: {differing}"
        await self.send([case.sent for case in cases.values()])

    async def wrong(self) -> dict[str, object]:
        """Return what is not as it must be, of everything that was sent so far; nothing where all is well."""
        failed = Counter((message.body, message.reason) for message in self._system.failed.messages)
        calls = Counter(unquote(call.headers["idempotency-key"]) for call in self._system.target.calls)
        waiting = {member.decode() for member in await self._system.redis.zrange("taskqueue:delayed", 0, -1)}
        jobs = self._books.jobs
        worker = self._worker
        found: dict[str, object] = {
            "not in the failed queue": self._books.failed - failed,
            "too often in the failed queue": failed - self._books.failed,
            "not called": [job for job in jobs[RUNS] if not calls[job]],
            "neither called nor waiting": [job for job in jobs[EITHER] if not calls[job] and job not in waiting],
            "not waiting": [job for job in jobs[WAITS] if job not in waiting],
            "called although it waits": [job for job in jobs[WAITS] if calls[job]],
            "called twice": [job for job, count in calls.items() if count > 1],
            "called and never sent": [*calls.keys() - {*jobs[RUNS], *jobs[EITHER]}],
            "harm done": [line for line in worker.lines if line["event"] in _HARM or line["level"] == "error"],
        }
        return {name: what for name, what in found.items() if what}

    async def finish(self) -> None:
        """Stop the worker, which leaves nothing behind, and judge for the last time."""
        assert await self._worker.terminate() == 0
        assert not any((await self._system.depths()).values())
        await self._check()

    async def _check(self) -> None:
        wrong = await self.wrong()
        assert wrong == {}, "\n".join(f"{what}: {which!r:.3000}" for what, which in wrong.items())

    async def _all_ended(self) -> bool:
        # The full look takes a while once there are thousands.
        if len(self._system.failed.messages) < self._books.failed.total():
            return False
        if len(self._system.target.calls) < len(self._books.jobs[RUNS]):
            return False
        return not await self.wrong()

    def _expect(self, message: Sent, end: str, job_id: str | None) -> bool:
        """Write down how the message must end; return False for one that names a job of another one by chance."""
        if job_id is not None:
            if job_id in self._books.known:
                return False
            self._books.known.add(job_id)
        if end in {RUNS, WAITS, EITHER} and job_id is not None:
            self._books.jobs[end].append(job_id)
        else:
            self._books.failed[message.body, end] += 1
        return True


#: with none of these, every message was delivered once: nothing was returned to its queue, and no session ended
_HARM = frozenset({"delivery_failed", "delivery_returned", "connection_lost", "loop_failed", "settle_lost"})


class RawPublisher:
    """One connection that sends property bytes as they are; every message is confirmed before the next is sent."""

    def __init__(self, amqp_url: str) -> None:
        parameters = pika.URLParameters(amqp_url)
        parameters.heartbeat = 0  # nobody reads from it between two floods
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def publish(self, messages: Sequence[tuple[str, Sent]]) -> None:
        for routing_key, message in messages:
            properties = RawProperties(packed(**message.properties))
            self._channel.basic_publish(EXCHANGE, routing_key, message.body, properties, mandatory=True)

    def close(self) -> None:
        self._connection.close()
