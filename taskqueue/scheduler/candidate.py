"""What the release chooses from: jobs that could go out now, wherever they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.task import Priority

#: job id and encoded message
Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A job that could be published now.

    Two with the same job id are different ones: a retry may wait while its first attempt is released again. Jobs of one
    `source` go out in its order or not at all: what stands behind one that is held waits with it. `message` is made
    only for those that go.
    """

    source: int
    due: datetime
    task_id: str
    priority: Priority
    message: Callable[[], Message]


def in_order(candidates: Iterable[Candidate], now: datetime) -> list[Candidate]:
    """Return the order in which they go: what is due by priority and then by due instant, the others as they come due.

    The delayed queue needs the others in due order; those that are due already do not pass through it.
    """
    ranked = [
        ((0, -candidate.priority, candidate.due) if candidate.due <= now else (1, 0, candidate.due), candidate)
        for candidate in candidates
    ]
    ranked.sort(key=lambda pair: pair[0])
    return [candidate for _, candidate in ranked]
