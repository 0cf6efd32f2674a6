"""Finding a user in the slot lists of an occurrence without reading all of them.

The lists stand in the order of the users' keys, so a user's place is known to some thousandths: only the piece in which
it can lie is read, some thousand entries of a million.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from taskqueue.core.explanation import SlotFacts
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.slots import order_key
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

#: the key's place is uniform: five deviations of √(n/4), and some for what came or went meanwhile
_DEVIATIONS = 5
_SPARE = 5

#: slot lists that are looked at; with more the place is not looked for
_MOST_LISTS = 1000

#: the release may take users off while the lists are read; so often they are read again
_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Where a user stands: `slot` where it was found; else `absent` says whether it is certain that it is in none."""

    slot: SlotFacts | None = None
    absent: bool = False


async def seek_user(store: RedisStore, occurrence: Occurrence, progress: Progress, user_id: str) -> Sought:
    """Look for a user among those whose jobs are still to be released. Raises StoreError, DamagedKeyError."""
    first, last = _range(occurrence, progress, user_id)
    begins = max(first, progress.released)
    if begins >= last:
        return Sought(absent=False)
    slots = range(occurrence.spread.slot(begins), occurrence.spread.slot(last - 1) + 1)
    if len(slots) > _MOST_LISTS:
        return Sought(absent=False)
    for _ in range(_LOOKS):
        index, released = await _look(store, occurrence, progress, user_id, slots, begins, last)
        if released == progress.released:
            return _sought(occurrence, progress, index, first)
    return Sought(absent=False)


def _sought(occurrence: Occurrence, progress: Progress, index: int | None, first: int) -> Sought:
    if index is None:
        return Sought(absent=progress.complete and first >= progress.released)
    return Sought(slot=SlotFacts(number=occurrence.spread.slot(index), planned_at=occurrence.execute_after(index)))


def _range(occurrence: Occurrence, progress: Progress, user_id: str) -> tuple[int, int]:
    """Return the first index that the user can have, and the one behind the last."""
    planned = progress.planned
    expected = order_key(occurrence.task_id, user_id) * max(occurrence.users, planned) >> 64
    off = ceil(_DEVIATIONS * (max(occurrence.users, 1) ** 0.5) / 2) + _SPARE + abs(planned - occurrence.users)
    return max(0, expected - off), min(planned, expected + off + 1)


async def _look(
    store: RedisStore,
    occurrence: Occurrence,
    progress: Progress,
    user_id: str,
    slots: range,
    begins: int,
    last: int,
) -> tuple[int | None, int]:
    """Return the user's index, or None, and how many users were released when the lists were read."""
    spread = occurrence.spread
    firsts = [max(progress.released, spread.first_index(slot)) for slot in slots]
    questions = [
        (
            "LRANGE",
            keys.slot(occurrence.task_id, slot, progress.suffix),
            max(0, begins - first),
            last - 1 - first,
        )
        for slot, first in zip(slots, firsts, strict=True)
    ]
    record = keys.occurrence(occurrence.task_id, occurrence.id)
    *pieces, released = await store.read(*questions, ("HGET", record, "released"))
    wanted = user_id.encode()
    for first, piece in zip(firsts, pieces, strict=True):
        if wanted in piece:
            return max(begins, first) + piece.index(wanted), int(released or 0)
    return None, int(released or 0)
