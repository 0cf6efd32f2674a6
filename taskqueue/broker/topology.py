"""What must exist on the broker: exchanges, queues and bindings as data, and declaring them.

All queues are quorum queues. A ready queue gives a message up to the failed queue after `x-delivery-limit` returns. The
delayed queue holds due-ordered messages for their expiration and passes each on with its own routing key; its
`x-message-ttl` only bounds what other systems put there without one. `at-least-once` needs `reject-publish`, or the
broker silently falls back to a strategy that loses messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar, Final

from aiormq import Channel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from taskqueue.broker.connection import Session
from taskqueue.broker.names import (
    DELAY_EXCHANGE,
    DELAYED_QUEUE,
    EXCHANGE,
    FAILED_QUEUE,
    FAILED_ROUTING_KEY,
    QUEUES,
    READY_QUEUES,
    READY_ROUTING_KEYS,
    queue_name,
)
from taskqueue.core.task import Priority
from taskqueue.errors import TopologyError

#: no message stays in the delayed queue longer
LONGEST_DELAY: Final = timedelta(seconds=120)
#: returns of a message to its queue before the broker moves it to the failed queue
DELIVERY_LIMIT: Final = 10
#: the same of the failed queue, where the broker would drop it: whoever looks through the queue returns every message.
#: Without a limit of its own RabbitMQ 4 takes 20, and with -1 RabbitMQ 3.10 drops a message at its first return
FAILED_DELIVERY_LIMIT: Final = 1_000_000_000

#: from here on RabbitMQ has a delivery limit for quorum queues that have none of their own
_LIMITS_BY_DEFAULT = (4,)

_APPLY = "`taskqueue topology apply` as a user who may configure, write and read ^taskqueue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str
    remedy: ClassVar[str] = "delete it while nothing publishes"

    def __str__(self) -> str:
        return f"exchange {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue; `arguments` can never be changed on an existing one.

    One that an older version has declared with `older` arguments does its work as well, and stays.
    """

    name: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    older: Mapping[str, str | int] | None = None
    remedy: ClassVar[str] = "let it run empty and delete it"

    def __str__(self) -> str:
        return f"queue {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Messages of `exchange` with `routing_key` reach `queue`."""

    exchange: str
    queue: str
    routing_key: str

    def __str__(self) -> str:
        return f"binding of {self.queue} to {self.exchange} with {self.routing_key!r}"


_QUORUM: Final = {"x-queue-type": "quorum"}
_DEAD_LETTER: Final = {
    "x-dead-letter-exchange": EXCHANGE,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
_READY: Final[Mapping[str, str | int]] = {
    **_QUORUM,
    **_DEAD_LETTER,
    "x-dead-letter-routing-key": FAILED_ROUTING_KEY,
    "x-delivery-limit": DELIVERY_LIMIT,
}
_DELAYED: Final[Mapping[str, str | int]] = {
    **_QUORUM,
    **_DEAD_LETTER,
    "x-message-ttl": LONGEST_DELAY // timedelta(milliseconds=1),
}

_FAILED: Final = Queue(
    name=FAILED_QUEUE, arguments={**_QUORUM, "x-delivery-limit": FAILED_DELIVERY_LIMIT}, older=_QUORUM
)

EXCHANGES: Final = (Exchange(name=EXCHANGE, kind="direct"), Exchange(name=DELAY_EXCHANGE, kind="fanout"))
ALL_QUEUES: Final = (
    *(Queue(name=name, arguments=_READY) for name in READY_QUEUES),
    Queue(name=DELAYED_QUEUE, arguments=_DELAYED),
    _FAILED,
)
BINDINGS: Final = (
    *(
        Binding(exchange=EXCHANGE, queue=queue, routing_key=key)
        for short_key, queue in zip(
            (*READY_ROUTING_KEYS, FAILED_ROUTING_KEY), (*READY_QUEUES, FAILED_QUEUE), strict=True
        )
        for key in (short_key, queue)
    ),
    # What another system put into the delayed queue under the queue's own name comes out with that key.
    Binding(exchange=EXCHANGE, queue=queue_name(Priority.NORMAL), routing_key=DELAYED_QUEUE),
    Binding(exchange=DELAY_EXCHANGE, queue=DELAYED_QUEUE, routing_key=""),
)


async def declare(session: Session) -> None:
    """Make everything exist; what exists already with the same arguments stays as it is.

    A user without the right to configure passes when everything exists; arguments and bindings are then not compared.
    Raises TopologyError with one line for every problem found, BrokerUnavailableError.
    """
    declaration = _Declaration(session)
    for exchange in EXCHANGES:
        await declaration.ensure(exchange)
    for queue in ALL_QUEUES:
        await declaration.ensure(queue)
    if not declaration.problems:
        for binding in BINDINGS:
            await declaration.bind(binding)
    if declaration.problems:
        raise TopologyError("\n".join(declaration.problems))


async def queue_depths(session: Session, queues: Iterable[str] = QUEUES) -> dict[str, int | None]:
    """Return how many messages are ready in each of `queues`; None where there is no such queue or no right to look.

    Unacked messages, and those in the hands of the broker's dead-letter worker, are not counted. Raises
    BrokerUnavailableError.
    """
    return {queue: await _depth(session, queue) for queue in queues}


async def ready_depths(session: Session) -> dict[str, int]:
    """Return how many messages are ready in each ready queue; a queue that is missing or hidden is left out.

    Five round trips on a channel that lasts as long, where `queue_depths` takes nine. Raises BrokerUnavailableError,
    after 5 s at the latest.
    """
    depths: dict[str, int] = {}
    async with session.passing_channel("reading queue depths") as channel:
        try:
            for queue in READY_QUEUES:
                depths[queue] = (await channel.queue_declare(queue, passive=True)).message_count or 0
        except (ChannelNotFoundEntity, ChannelAccessRefused):
            # The broker has closed the channel: each of the others gets one of its own.
            rest = READY_QUEUES[len(depths) + 1 :]
            others = await queue_depths(session, rest)
            depths |= {queue: depth for queue, depth in others.items() if depth is not None}
    return depths


async def _depth(session: Session, queue: str) -> int | None:
    # A channel of its own: asking for a missing queue closes the channel.
    async with session.passing_channel("reading queue depths") as channel:
        try:
            return (await channel.queue_declare(queue, passive=True)).message_count
        except (ChannelNotFoundEntity, ChannelAccessRefused):
            return None


async def warning_of_failed_queue(session: Session) -> str | None:
    """Return what to do where RabbitMQ would drop messages of the failed queue that were looked at too often.

    The queue must exist. None where that cannot happen, or where this user may not find out. Raises
    BrokerUnavailableError.
    """
    if session.server_version < _LIMITS_BY_DEFAULT or await _is_declared(session, _FAILED):
        return None
    return (
        f"{_FAILED} was made by an older version and has no delivery limit of its own; RabbitMQ 4 drops a message that "
        f"was looked at 20 times. Raise it: rabbitmqctl set_policy taskqueue-failed '^taskqueue\\.jobs\\.failed$' "
        f"""'{{"delivery-limit":{FAILED_DELIVERY_LIMIT}}}' --apply-to queues"""
        f", or let the queue run empty, delete it and run {_APPLY}"
    )


async def compare(session: Session, thing: Exchange | Queue) -> str | None:
    """Return what is wrong with `thing`, in the broker's words: missing or different; empty where it is right.

    None: it is there, and this user may not compare it. Nothing is made. Raises BrokerUnavailableError.
    """
    async with session.passing_channel("comparing the topology") as channel:
        try:
            await _declare(channel, thing, passive=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            return _said(error)
        try:
            await _declare(channel, thing)
        except ChannelAccessRefused:
            return None
        except ChannelPreconditionFailed as error:
            said = _said(error)
        else:
            return ""
    return "" if await _is_older(session, thing) else said


async def _is_older(session: Session, thing: Exchange | Queue) -> bool:
    """Return whether an older version has declared `thing`, which exists with other arguments than ours."""
    if not isinstance(thing, Queue) or thing.older is None:
        return False
    return await _is_declared(session, replace(thing, arguments=thing.older))


async def _is_declared(session: Session, queue: Queue) -> bool:
    """Return whether the queue, which exists, has these arguments; True where this user may not find out."""
    async with session.passing_channel("comparing a queue") as channel:
        try:
            await _declare(channel, queue)
        except ChannelPreconditionFailed:
            return False
        except ChannelAccessRefused:
            return True
    return True


class _Declaration:
    """One run of `declare`: each step on a channel of its own, since the broker closes the channel of a failed one."""

    def __init__(self, session: Session) -> None:
        self.problems: list[str] = []
        self._session = session
        self._may_configure = True

    async def ensure(self, thing: Exchange | Queue) -> None:
        refused = False
        async with self._session.passing_channel("declaring the topology") as channel:
            try:
                await _declare(channel, thing)
            except ChannelPreconditionFailed as error:
                if not await _is_older(self._session, thing):
                    self.problems.append(f"{thing}: {_said(error)}; {thing.remedy}, then run {_APPLY}")
            except ChannelAccessRefused:
                refused = True
        if refused:
            self._may_configure = False
            await self._look_for(thing)

    async def bind(self, binding: Binding) -> None:
        async with self._session.passing_channel("binding queues") as channel:
            try:
                await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)
            except ChannelAccessRefused as error:
                if self._may_configure:
                    self.problems.append(f"{binding}: {_said(error)}; run {_APPLY}")

    async def _look_for(self, thing: Exchange | Queue) -> None:
        async with self._session.passing_channel("looking for the topology") as channel:
            try:
                await _declare(channel, thing, passive=True)
            except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
                self.problems.append(f"{thing}: {_said(error)}; run {_APPLY}")


async def _declare(channel: Channel, thing: Exchange | Queue, *, passive: bool = False) -> None:
    if isinstance(thing, Exchange):
        await channel.exchange_declare(thing.name, exchange_type=thing.kind, durable=True, passive=passive)
    else:
        await channel.queue_declare(thing.name, durable=True, arguments=dict(thing.arguments), passive=passive)


def _said(error: Exception) -> str:
    """Return what the broker said without its leading code: `inequivalent arg 'x-delivery-limit' ...`."""
    return str(error).partition(" - ")[2] or str(error)
