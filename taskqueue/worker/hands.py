"""The hands: a fixed number of them, each taking one delivery after another from the intake to its end."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import NoReturn

from taskqueue.broker.consumer import Delivery
from taskqueue.broker.names import queue_name
from taskqueue.core.codec import MAX_BODY_BYTES, MAX_STORED_BYTES, decode_message
from taskqueue.core.job import JobMessage
from taskqueue.core.retry import Park
from taskqueue.core.task import Task
from taskqueue.errors import MessageError
from taskqueue.runtime import Now
from taskqueue.store.jobs import Claimant
from taskqueue.telemetry.events import DeliveryFailed, Emit
from taskqueue.worker.definitions import Definitions
from taskqueue.worker.handle import Handled, Handler
from taskqueue.worker.intake import Intake
from taskqueue.worker.perseverance import GaveUpError, Perseverance
from taskqueue.worker.settle import Settler

#: rest after a delivery that could not be dealt with, so that it does not come round at full speed
_FAILED_REST_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this worker is for the others: its incarnation, and how long its heartbeat lives without being renewed."""

    incarnation: str
    heartbeat_ttl: timedelta


class Hands:
    """Works on deliveries. `active` says how many are being worked on; `idle` is set while none is."""

    def __init__(
        self,
        intake: Intake,
        definitions: Definitions,
        handler: Handler,
        settler: Settler,
        perseverance: Perseverance,
        identity: Identity,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        self._intake = intake
        self._definitions = definitions
        self._handler = handler
        self._settler = settler
        self._persevere = perseverance
        self._identity = identity
        self._now = now
        self._emit = emit
        self._numbers = count(1)
        self._running: set[str] = set()
        self.active = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def work(self) -> NoReturn:
        """Be one pair of hands, for ever."""
        while True:
            delivery = await self._intake.take()
            self.active += 1
            self.idle.clear()
            try:
                await self._deal_with(delivery)
            finally:
                self.active -= 1
                if not self.active:
                    self.idle.set()

    async def give_back_waiting(self, reason: str, *, received_before: float = math.inf) -> None:
        """Give back what waits in the intake and came before then, in the loop's time; by default everything."""
        for delivery in self._intake.drain(received_before):
            await self._settler.give_back(delivery, reason)

    async def _deal_with(self, delivery: Delivery) -> None:
        try:
            await self._run(delivery)
        except GaveUpError as error:
            await self._settler.give_back(delivery, str(error))
        except Exception as error:  # noqa: BLE001 - a defect: the broker counts its returns and ends them in the failed queue
            self._emit(DeliveryFailed(queue=queue_name(delivery.queue), error=repr(error)))
            await delivery.requeue()
            await asyncio.sleep(_FAILED_REST_S)

    async def _run(self, delivery: Delivery) -> None:
        try:
            message = decode_message(delivery.body, MAX_BODY_BYTES if delivery.foreign else MAX_STORED_BYTES)
            if delivery.foreign:
                # Its producer wants it run, now or later; only what we have planned ourselves can be too late.
                message = message.received(self._now())
        except MessageError as error:
            await self._settler.reject(delivery, error)
            return
        claimant = Claimant(incarnation=self._identity.incarnation, delivery=next(self._numbers))
        handled = await self._decide(message, claimant)
        await self._settler.settle(delivery, message.job, handled)

    async def _decide(self, message: JobMessage, claimant: Claimant) -> Handled:
        job = message.job
        if job.id in self._running:
            # The broker delivered it again while these hands still work on it: look again once they must have ended.
            parked = Park(until=self._now() + self._identity.heartbeat_ttl, reason="claimed")
            return await self._settler.record(message, claimant, Handled(decision=parked))
        self._running.add(job.id)
        try:
            task = self._definitions.known(job.task_type_id)
            if task is None:
                task = await self._persevere(lambda: self._definitions.get(job.task_type_id))
            handled = await self._handle(message, task, claimant)
            return await self._settler.record(message, claimant, handled)
        finally:
            self._running.discard(job.id)

    async def _handle(self, message: JobMessage, task: Task | None, claimant: Claimant) -> Handled:
        if task is None:
            return self._handler.unknown_task(message.job)
        return await self._handler.handle(message, task, claimant)
