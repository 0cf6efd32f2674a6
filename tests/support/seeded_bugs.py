"""Mistakes that a scheduler could make, put into a real one: what judges its crashes must see each of them."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskqueue.broker.publisher import Publisher
from taskqueue.core.occurrence import Occurrence
from taskqueue.errors import BrokerError

#: the environment variable with the name of the mistake
VARIABLE = "SEEDED_BUG"

#: seconds between what is claimed and what is done
_LATER_S = 2.0


def claim_confirms() -> None:
    """Call every message confirmed at once and publish it some time later: whatever is forgotten by then is lost."""
    publish_all = Publisher.publish_all
    unfinished: set[asyncio.Task[object]] = set()

    @functools.wraps(publish_all)
    async def claim(self: Publisher, outgoing: Sequence[Any], within: float) -> list[BrokerError | None]:
        async def later() -> None:
            await asyncio.sleep(_LATER_S)
            await publish_all(self, outgoing, within)

        task = asyncio.create_task(later())
        unfinished.add(task)
        task.add_done_callback(unfinished.discard)
        return [None] * len(outgoing)

    Publisher.publish_all = claim  # type: ignore[method-assign]  # that is the mistake


def invent_job_ids() -> None:
    """Give a job a new id whenever it is released: a worker cannot know the second one."""

    def invent(self: Occurrence) -> Callable[[str], str]:
        return lambda user_id: str(uuid.uuid5(uuid.uuid4(), self.member + user_id))

    Occurrence.job_ids = invent  # type: ignore[method-assign,assignment]  # that is the mistake


BUGS: Mapping[str, Callable[[], None]] = {"claim_confirms": claim_confirms, "invent_job_ids": invent_job_ids}
