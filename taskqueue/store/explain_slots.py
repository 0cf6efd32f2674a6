"""Finding a user in the slot lists of an occurrence without reading all of them.

The lists stand in the order of the users' keys, so a user's place is known to some thousandths: only the piece in which
it can lie is read, some thousand entries of a million.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from taskqueue.core.explanation import SlotFacts
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.slots import order_key, place_of
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

#: the key's place is uniform: five deviations of √(n/4), and some for what came or went meanwhile
_DEVIATIONS = 5
_SPARE = 5

#: entries that are read at once; a longer piece is halved first, for each entry may stand in a list of its own
_MOST_ENTRIES = 2000

#: the release may take users off while the lists are read; so often they are read again
_LOOKS = 3

#: order keys are below it
_KEY_SPAN = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Where a user stands: `slot` where it was found; else `absent` says whether it is certain that it is in none."""

    slot: SlotFacts | None = None
    absent: bool = False


async def seek_user(store: RedisStore, occurrence: Occurrence, progress: Progress, user_id: str) -> Sought:
    """Look for a user, who is not behind the cursor, among those whose jobs are still to be released.

    Raises StoreError, DamagedKeyError.
    """
    spread = occurrence.spread
    for _ in range(_LOOKS):
        first, last = _range(occurrence, progress, user_id)
        begins = max(first, progress.released)
        if begins >= last:
            break
        index, released = await _find(store, occurrence, progress, user_id, begins, last)
        # In lists behind the one from which the release takes users every index holds.
        untouched = spread.slot(begins if index is None else index) > spread.slot(max(0, released))
        if released == progress.released or (untouched and released > progress.released):
            return _sought(occurrence, index, absent=first >= progress.released)
        progress = replace(progress, released=max(progress.released, released))
    return Sought(absent=False)


def _sought(occurrence: Occurrence, index: int | None, *, absent: bool) -> Sought:
    if index is None:
        return Sought(absent=absent)
    return Sought(slot=SlotFacts(number=occurrence.spread.slot(index), planned_at=occurrence.execute_after(index)))


def _range(occurrence: Occurrence, progress: Progress, user_id: str) -> tuple[int, int]:
    """Return the first index that the user can have, and the one behind the last.

    Of n users about key/2⁶⁴·n come before. Where the audience was another one from some place on, for a later leader
    went on with it, it is between what the users at first and those that were planned up to the cursor come to.
    """
    key, planned = order_key(occurrence.task_id, user_id), progress.planned
    expected = sorted((key * occurrence.users // _KEY_SPAN, key * planned // _reached(progress)))
    off = ceil(_DEVIATIONS * (max(occurrence.users, planned) ** 0.5) / 2) + _SPARE
    return max(0, expected[0] - off), min(planned, expected[1] + off + 1)


def _reached(progress: Progress) -> int:
    """Return below which order key everybody is planned."""
    try:
        return _KEY_SPAN if progress.complete else place_of(progress.cursor)[0] + 1
    except ValueError:
        return _KEY_SPAN  # of another hand


async def _find(
    store: RedisStore, occurrence: Occurrence, progress: Progress, user_id: str, begins: int, last: int
) -> tuple[int | None, int]:
    """Return the user's index, or None, and how many users were released when it was read, -1 without a record."""
    wanted = (order_key(occurrence.task_id, user_id), user_id)
    while last - begins > _MOST_ENTRIES:
        middle = (begins + last) // 2
        ((_, found),), released = await _read(store, occurrence, progress, middle, middle + 1)
        if not found:
            return None, released
        there = found[0].decode(errors="replace")
        begins, last = (begins, middle) if wanted < (order_key(occurrence.task_id, there), there) else (middle, last)
    pieces, released = await _read(store, occurrence, progress, begins, last)
    user = user_id.encode()
    return next((first + piece.index(user) for first, piece in pieces if user in piece), None), released


async def _read(
    store: RedisStore, occurrence: Occurrence, progress: Progress, begins: int, last: int
) -> tuple[list[tuple[int, list[bytes]]], int]:
    """Return what stands from `begins` to before `last`, a piece of each list with the index of its first entry.

    And how many users were released after it was read, -1 where there is no record any more.
    """
    spread, firsts, questions = occurrence.spread, list[int](), list[tuple[str, str, int, int]]()
    for slot in sorted({spread.slot(index) for index in range(begins, last)}):
        head = max(progress.released, spread.first_index(slot))
        firsts.append(max(begins, head))
        name = keys.slot(occurrence.task_id, slot, progress.suffix)
        questions.append(("LRANGE", name, firsts[-1] - head, last - 1 - head))
    record = keys.occurrence(occurrence.task_id, occurrence.id)
    *pieces, released = await store.read(*questions, ("HGET", record, "released"))
    return list(zip(firsts, pieces, strict=True)), -1 if released is None else int(released)
