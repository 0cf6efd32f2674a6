"""What `taskqueue doctor` asks RabbitMQ over AMQP. It makes nothing but what a leader makes, and takes no job.

Whether dead-lettering works only a message shows. The canary goes through the delayed queue itself: one beside it would
have a dead-letter worker of its own, and could be well while that of the jobs stands still. It has the key of the
leader's probes (`lane_watch`), so it reaches no ready queue and no worker, and `taskqueue.lane` swallows it when doctor
is gone. It stands at the end and is due at once, so it holds nobody up. Behind jobs that are not due yet it is long in
coming; but every message with that key reaches doctor as well, and a leader sends one every five seconds: that one of
those comes out shows as well that the queue moves.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from secrets import token_hex
from typing import Any, Final

from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from taskqueue.broker.connection import Session
from taskqueue.broker.lane_watch import attach
from taskqueue.broker.names import (
    DELAY_EXCHANGE,
    DELAYED_QUEUE,
    EXCHANGE,
    FAILED_QUEUE,
    LANE_WATCH_QUEUE,
    LANE_WATCH_ROUTING_KEY,
    READY_QUEUES,
)
from taskqueue.broker.queue_counts import queue_counts
from taskqueue.broker.topology import (
    ALL_QUEUES,
    EXCHANGES,
    Exchange,
    Queue,
    compare,
    queue_depths,
    warning_of_failed_queue,
)
from taskqueue.core.doctor_broker import BrokerFacts, Canary, CanaryEnd, QueueUse, Trouble

#: seconds
_ATTACH_WITHIN: Final = 5.0
_CONFIRM_WITHIN: Final = 3.0
#: above the five between two probes of a leader
_CANARY_WITHIN: Final = 6.0

#: a key that nothing is bound to: what is published with it comes back
_NOWHERE: Final = "doctor"

_DIFFERS: Final = "inequivalent"


async def examine_broker(
    session: Session, *, canary_within_s: float = _CANARY_WITHIN, attach_within_s: float = _ATTACH_WITHIN
) -> BrokerFacts:
    """Return what the broker shows. Takes as long as the canary; raises BrokerUnavailableError."""
    troubles: list[Trouble] = []
    uncompared: list[str] = []
    things: tuple[Exchange | Queue, ...] = (*EXCHANGES, *ALL_QUEUES)
    for thing in things:
        said = await compare(session, thing)
        if said is None:
            uncompared.append(str(thing))
        elif said:
            troubles.append(Trouble(thing=str(thing), said=said))
    missing = any(_DIFFERS not in trouble.said for trouble in troubles)
    depths = await queue_depths(session, (DELAYED_QUEUE, FAILED_QUEUE))
    depths_at_s = asyncio.get_running_loop().time()
    counts = await queue_counts(session, READY_QUEUES)
    ready = {
        queue: None if count is None else QueueUse(messages=count.ready, consumers=count.consumers)
        for queue, count in counts.items()
    }
    limitless = None if missing else await warning_of_failed_queue(session)
    # The last that is asked: during an alarm the broker reads nothing more from a connection that has published.
    refused: tuple[Trouble, ...] = ()
    canary = Canary(end=CanaryEnd.NOT_SENT, said="exchanges or queues are missing")
    if not missing:
        refused, canary = await _try_publishing(session, canary_within_s, attach_within_s)
    return BrokerFacts(
        place=session.place,
        version=session.server_version,
        topology=tuple(troubles),
        uncompared=tuple(uncompared),
        limitless_failed_queue=limitless,
        refused=refused,
        blocked=await session.is_blocked(),
        depths_at_s=depths_at_s,
        in_lane=depths[DELAYED_QUEUE],
        failed_jobs=depths[FAILED_QUEUE],
        ready=ready,
        canary=canary,
    )


async def _try_publishing(
    session: Session, canary_within_s: float, attach_within_s: float
) -> tuple[tuple[Trouble, ...], Canary]:
    """Return what this user may not publish to, and what became of the canary."""
    # The broker looks at the right before it finds that the key leads nowhere.
    end, said = await _publish(session, EXCHANGE, _NOWHERE, b"", expiration=None)
    if end is CanaryEnd.NOT_ALLOWED:
        return (Trouble(thing=f"exchange {EXCHANGE}", said=said),), Canary(end=CanaryEnd.NOT_SENT, said=said)
    if end is CanaryEnd.UNCONFIRMED:
        return (), Canary(end=end, said=said)
    # Returned and then blocked: the broker finds that a message leads nowhere before it finds that there is an alarm.
    if await session.is_blocked():
        return (), Canary(end=CanaryEnd.UNCONFIRMED, said="blocked")
    canary = await _send_canary(session, canary_within_s, attach_within_s)
    refused = canary.end is CanaryEnd.NOT_SENT
    return (Trouble(thing=f"exchange {DELAY_EXCHANGE}", said=canary.said),) if refused else (), canary


async def _send_canary(session: Session, within_s: float, attach_within_s: float) -> Canary:
    token = token_hex(8)
    body = f"doctor:{token}".encode()
    clock = asyncio.get_running_loop().time
    back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    another = asyncio.Event()

    async def take(message: DeliveredMessage) -> None:
        if message.body != body:
            another.set()
        elif not back.done():
            back.set_result(None)

    async with session.side_channel("watching the delayed queue") as channel:
        try:
            async with asyncio.timeout(attach_within_s):
                await attach(channel, f"{LANE_WATCH_QUEUE}.doctor.{token}", take)
        except (ChannelAccessRefused, ChannelPreconditionFailed) as error:
            return Canary(end=CanaryEnd.NOT_ALLOWED, said=str(error))
        except TimeoutError:
            return Canary(end=CanaryEnd.NOT_WATCHED, said=f"no answer within {attach_within_s:g} s")
        began = clock()
        problem, said = await _publish(session, DELAY_EXCHANGE, LANE_WATCH_ROUTING_KEY, body, expiration="1")
        if problem is not None:
            # Who may watch the queue is a scheduler, and has to be able to publish into it.
            end = CanaryEnd.NOT_SENT if problem is CanaryEnd.NOT_ALLOWED else problem
            return Canary(end=end, said=said)
        ends: set[asyncio.Future[Any]] = {back, session.lost, channel.closing}
        await asyncio.wait(ends, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    end = CanaryEnd.BACK if back.done() else CanaryEnd.ANOTHER_CAME if another.is_set() else CanaryEnd.NOT_BACK
    return Canary(end=end, took=timedelta(seconds=clock() - began))


async def _publish(
    session: Session, exchange: str, key: str, body: bytes, *, expiration: str | None
) -> tuple[CanaryEnd | None, str]:
    """Publish a message that needs to survive nothing; return why it is in no queue, or None once it is confirmed."""
    properties = spec.Basic.Properties(message_id=f"doctor:{token_hex(8)}", expiration=expiration, delivery_mode=1)
    async with session.side_channel("publishing a canary", confirms=True) as channel:
        try:
            async with asyncio.timeout(_CONFIRM_WITHIN):
                await channel.basic_publish(
                    body, exchange=exchange, routing_key=key, properties=properties, mandatory=True
                )
        except PublishError as error:
            return CanaryEnd.UNROUTABLE, str(error)
        except ChannelAccessRefused as error:
            return CanaryEnd.NOT_ALLOWED, str(error)
        except DeliveryError as error:
            return CanaryEnd.UNCONFIRMED, f"refused: {error}"
        except TimeoutError:
            return CanaryEnd.UNCONFIRMED, f"no word within {_CONFIRM_WITHIN:g} s"
    return None, ""
