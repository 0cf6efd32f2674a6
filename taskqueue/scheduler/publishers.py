"""The connections on which a scheduler publishes, and what it knows of RabbitMQ through them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import ready_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError

#: a follower publishes nothing, so that no answer ends a silence: after so long it says nothing any more. A network
#: that swallows everything has become a lost connection by then
_SILENCE_HOLDS_S = 60.0


@dataclass(slots=True, kw_only=True)
class Publishers:
    """A connection for each queue: RabbitMQ soon stops reading from one on which it cannot deal with a queue."""

    #: straight to the ready queues, each on its own; once one of them is connected, the queues are there
    direct: Mapping[Priority, Publisher]
    #: into the delayed queue
    lane: Publisher
    #: when RabbitMQ said last how full the ready queues are, by the loop's clock
    _heard_at: float = field(default=0.0, init=False)

    @property
    def all(self) -> tuple[Publisher, ...]:
        """Those of the ready queues, and the one of the delayed queue last."""
        return (*self.direct.values(), self.lane)

    @property
    def broker_connected(self) -> bool:
        """Whether any ready queue can be reached."""
        return any(publisher.connection.connected for publisher in self.direct.values())

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ has said on one of them that it accepts no messages; on others it may not have yet."""
        return any(publisher.connection.blocked for publisher in self.all)

    def to(self, priority: Priority, *, silent: bool) -> Publisher:
        """Return the connection for due jobs of `priority`; while its own is down, another one that answers.

        First the delayed queue's: if the jobs' queue takes nothing, that one is harmed, and jobs go around it. Of a
        queue that is known to be `silent` nothing goes to the connection of another ready queue.
        """
        own = self.direct[priority]
        if own.connection.connected:
            return own
        others = (self.lane,) if silent else self.all[::-1]
        return next((each for each in others if each.answering), own)

    def answers(self, *, leading: bool) -> bool:
        """Return whether jobs could be published now, as far as is known.

        A queue that confirms nothing makes others no better leaders: RabbitMQ is heard on one of the connections. Where
        all ready queues are silent, depths are not enough: a node that is cut off from all others tells them too.
        """
        now = asyncio.get_running_loop().time()
        heard_at = max(each.answered_at for each in self.all)
        if any(each.answering for each in self.direct.values()):
            heard_at = max(heard_at, self._heard_at)
        silences = [each.silent_since for each in self.all if each.silent_since is not None]
        return self.broker_connected and all(
            heard_at > since or (not leading and now - since > _SILENCE_HOLDS_S) for since in silences
        )

    async def depths(self) -> dict[str, int]:
        """Return how many messages are ready in each ready queue. Raises BrokerUnavailableError, after 5 s at most."""
        connected = [each for each in self.direct.values() if each.connection.connected]
        if not connected:
            raise BrokerUnavailableError("RabbitMQ: no connection to a ready queue")
        publisher = next((each for each in connected if each.answering), connected[0])
        depths = await ready_depths(publisher.connection.session)
        self._heard_at = asyncio.get_running_loop().time()
        return depths
