"""A message on its way out: what it is, and what of it goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from taskqueue.broker.names import DELAY_EXCHANGE, EXCHANGE, LANE_WATCH_ROUTING_KEY, READY_ROUTING_KEYS
from taskqueue.broker.topology import LONGEST_DELAY
from taskqueue.errors import InvalidValueError

_MILLISECOND = timedelta(milliseconds=1)
_NO_TIME = timedelta(0)

#: AMQP's short strings, which ids and routing keys are, hold no more
_SHORT_STRING_BYTES: Final = 255

#: keys that have a queue whenever a delayed message comes out: behind the delayed queue nobody is told of one that has
#: not, and the broker keeps it and tries again for ever
_DELAYED_ROUTING_KEYS: Final = frozenset((*READY_ROUTING_KEYS, LANE_WATCH_ROUTING_KEY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way out.

    Raises InvalidValueError for a delay above 120 s, which the broker would cut short, for a delay on the way to
    anything but a ready queue or the lane watch, and for an id or routing key of no or more than 255 bytes.
    """

    body: bytes
    message_id: str
    #: `names.routing_key(priority)`, `names.FAILED_ROUTING_KEY` or `names.LANE_WATCH_ROUTING_KEY`
    routing_key: str
    #: how long it waits in the delayed queue first; None or not positive: straight to its queue
    delay: timedelta | None = None
    headers: Mapping[str, str | int] = field(default_factory=dict)
    #: when the message was made
    timestamp: datetime | None = None
    #: whether it outlives a restart of the broker in a queue that leaves this to the message (a quorum queue does not)
    persistent: bool = True

    def __post_init__(self) -> None:
        if not (self.message_id and _fits(self.message_id) and self.routing_key and _fits(self.routing_key)):
            raise InvalidValueError("message id and routing key: 1 to 255 bytes of UTF-8 each")
        if self.delay is None or self.delay <= _NO_TIME:
            return
        if self.delay > LONGEST_DELAY:
            raise InvalidValueError(
                f"delay of {self.delay}: the delayed queue holds messages for at most {LONGEST_DELAY}"
            )
        if self.routing_key not in _DELAYED_ROUTING_KEYS:
            raise InvalidValueError(
                f"routing key {self.routing_key!r} with a delay: use {', '.join(READY_ROUTING_KEYS)}"
            )

    @property
    def exchange(self) -> str:
        """The exchange it goes to."""
        return EXCHANGE if self.delay is None or self.delay <= _NO_TIME else DELAY_EXCHANGE

    @property
    def expiration(self) -> str | None:
        """Its time in the delayed queue in whole milliseconds, rounded up so that no job is early."""
        if self.delay is None or self.delay <= _NO_TIME:
            return None
        return str(-(-self.delay // _MILLISECOND))


def _fits(text: str) -> bool:
    # No character has more than four bytes.
    return len(text) * 4 <= _SHORT_STRING_BYTES or len(text.encode()) <= _SHORT_STRING_BYTES
