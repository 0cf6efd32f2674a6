"""The plan in Redis: what is due, which occurrences are live, and whose job is in which slot.

Every write here belongs to the leader and is refused with LeaseLostError when the lease holds another token; except the
occurrence of a manual trigger, which any process may add.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import groupby
from typing import Any

from taskqueue.core.ids import check_user_id
from taskqueue.core.instants import rfc3339, to_unix_ms
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress
from taskqueue.core.task import Overlap
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.due import DueEntry, DueStore, score_of, scored
from taskqueue.store.occurrence_record import readable_record, record_fields
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)

#: in a message they are in base64, and the whole may have 256 KiB
MAX_PARAMETERS_BYTES = 128 * 1024

#: slot lists and a record outlive the window by so long at least, and the jobs' `max_age` by an hour: whatever is
#: released later is too old to run
_KEPT_AFTER_WINDOW = timedelta(days=7)
_KEPT_AFTER_MAX_AGE = timedelta(hours=1)

#: slot lists deleted at a time, so that Redis is never busy for long
_LISTS_PER_CALL = 1000

#: records of occurrences read at a time
_RECORDS_PER_CALL = 500

#: a planner that stopped without a word blocks nobody: the lock only tells ops who plans
_PLANNING_LOCK_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotUser:
    """A user in a slot list, and the parameters (JSON text) that are set for the task; empty without.

    None stands for parameters of more than MAX_PARAMETERS_BYTES.

    An entry that is no user id was written by somebody else: it keeps its place in the order, and gets no job. What is
    not UTF-8 in it stands as lone surrogates, so that it can be found again in the list.
    """

    user_id: str
    parameters: str | None

    @property
    def is_user(self) -> bool:
        """Whether there is anybody to call."""
        try:
            check_user_id(self.user_id)
        except InvalidValueError:
            return False
        return True


class Begun(IntEnum):
    """What became of a due entry whose instant has come (lua/plan_begin.lua). Falsy: somebody else had moved it."""

    ELSEWHERE = 0
    OPENED = 1
    EXISTED = 2
    HELD = 3
    SKIPPED = 4
    #: opened, for the time of the occurrence before it is up, though not all ends of its jobs were told
    OPENED_AFTER_BOUND = 5


class PlanStore:
    """Due work, occurrences and slot lists."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self.due = DueStore(store, scripts)

    # --- planning -----------------------------------------------------------------------------------------------------

    async def move_due(self, token: str, entry: DueEntry, following: datetime | None) -> bool:
        """Move `entry` to its following instant without an occurrence; False when it had moved already."""
        arguments: list[Argument] = ["", "", entry.task_id, "0", 0, 0, 0, Overlap.ALLOW.value, 0, ""]
        return await self._begin(token, entry, following, "", arguments) is Begun.OPENED

    async def begin(
        self,
        token: str,
        entry: DueEntry,
        following: datetime | None,
        occurrence: Occurrence,
        overlap: Overlap = Overlap.ALLOW,
        *,
        max_age: timedelta = timedelta(0),
    ) -> Begun:
        """Move `entry` to its following instant and open `occurrence`, whose jobs get no older than `max_age`.

        Both in the same step. With an `overlap` of skip or queue only when the cohort's occurrence before it is over.
        """
        fields = [*record_fields(occurrence), "state", "planning"]
        if occurrence.over_by is not None:
            fields += ["over_by", to_unix_ms(occurrence.over_by), "counted_for", entry.member, "ended", 0]
        arguments: list[Argument] = [
            occurrence.member,
            occurrence.id,
            occurrence.task_id,
            int(occurrence.cohort == DEFAULT_COHORT),
            to_unix_ms(occurrence.starts_at),
            _kept_ms(occurrence.window, max_age),
            _PLANNING_LOCK_MS,
            overlap.value,
            to_unix_ms(occurrence.created_at),
            keys.occurrence(occurrence.task_id, ""),
            *fields,
        ]
        return await self._begin(token, entry, following, occurrence.id, arguments)

    async def _begin(
        self,
        token: str,
        entry: DueEntry,
        following: datetime | None,
        occurrence_id: str,
        arguments: Sequence[Argument],
    ) -> Begun:
        reply = await self._scripts.call(
            "plan_begin",
            [
                keys.LEASE,
                keys.DUE,
                keys.occurrence(entry.task_id, occurrence_id),
                keys.OCCURRENCES,
                keys.PLAIN_SLOT_OWNERS,
                keys.planning_lock(entry.task_id),
                keys.DUE_HELD,
                keys.DUE_HELD_INSTANTS,
                keys.latest_occurrence(entry.member),
                keys.DUE_ENDED,
            ],
            [token, entry.member, to_unix_ms(entry.at), int(entry.held), score_of(following), *arguments],
        )
        return Begun(int(reply))

    async def append(
        self, token: str, occurrence: Occurrence, progress: Progress, users: Sequence[str], cursor: str, *, last: bool
    ) -> bool:
        """Append the next `users` of the order to their slots and move the cursor; False when it had moved already."""
        slots = list(_by_slot(occurrence, progress, users))
        planned, spread = progress.planned, occurrence.spread
        begins = planned == 0 or spread.slot(planned - 1) < spread.slot(planned)
        reply = await self._scripts.call(
            "plan_append",
            [
                keys.LEASE,
                keys.occurrence(occurrence.task_id, occurrence.id),
                keys.planning_lock(occurrence.task_id),
                keys.DUE_HELD,
                keys.DUE_HELD_INSTANTS,
                *(keys.slot(occurrence.task_id, number, progress.suffix) for number, _ in slots),
            ],
            [
                token,
                progress.cursor,
                cursor,
                int(last),
                _kept_ms(occurrence.window),
                _PLANNING_LOCK_MS,
                int(begins),
                *_counted(slots),
            ],
        )
        return int(reply) >= 0

    async def add_trigger(
        self, occurrence: Occurrence, users: Sequence[str], batch_size: int, *, max_age: timedelta = timedelta(0)
    ) -> None:
        """Add the occurrence of a manual trigger with its `users`; it becomes visible with the last of them.

        Its jobs get no older than `max_age`. Asked again with the same occurrence id and users, it adds only what is
        missing.
        """
        fields: list[Argument] = [*record_fields(occurrence), "suffix", f":{occurrence.id}", "released", 0]
        fields += ["state", "planned", "opened", "1"]
        for start in range(0, max(len(users), 1), batch_size):
            piece = users[start : start + batch_size]
            slots = list(_by_slot(occurrence, Progress(planned=start), piece))
            await self._scripts.call_again(
                "trigger_append",
                [
                    keys.occurrence(occurrence.task_id, occurrence.id),
                    keys.OCCURRENCES,
                    *(keys.slot(occurrence.task_id, number, f":{occurrence.id}") for number, _ in slots),
                ],
                [
                    int(start + batch_size >= len(users)),
                    _kept_ms(occurrence.window, max_age),
                    occurrence.member,
                    to_unix_ms(occurrence.starts_at),
                    start,
                    len(fields),
                    *fields,
                    *_counted(slots),
                ],
            )

    # --- live occurrences ---------------------------------------------------------------------------------------------

    async def live(self, until: datetime | None, limit: int) -> list[tuple[str, datetime]]:
        """Return (member, next due instant) of up to `limit` live occurrences due until then, the earliest first.

        A limit of -1 stands for all.
        """
        highest: Argument = "+inf" if until is None else to_unix_ms(until)
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.OCCURRENCES, "-inf", highest, "WITHSCORES", "LIMIT", 0, limit
        )
        found = scored(keys.OCCURRENCES, reply)
        for member, _ in found:
            if ":" not in member:
                raise DamagedKeyError(keys.OCCURRENCES, "has an entry without a task", member=member.encode())
        return found

    async def read(self, members: Sequence[str]) -> dict[str, tuple[Occurrence, Progress]]:
        """Return the occurrences called `members` that still exist. Raises DamagedKeyError for an unreadable record."""
        record_keys = [keys.occurrence(*member.split(":", 1)) for member in members]
        replies = await self._store.ask_each([("HGETALL", key) for key in record_keys])
        return {
            member: readable_record(key, member, _hash_of(reply))
            for member, key, reply in zip(members, record_keys, replies, strict=True)
            if reply
        }

    async def all_live(self) -> AsyncIterator[list[tuple[Occurrence, Progress]]]:
        """Yield the records of all that are live now, the earliest first and some hundred at a time.

        Raises DamagedKeyError.
        """
        members = [member for member, _ in await self.live(None, -1)]
        for start in range(0, len(members), _RECORDS_PER_CALL):
            yield list((await self.read(members[start : start + _RECORDS_PER_CALL])).values())

    async def read_slot(self, occurrence: Occurrence, progress: Progress, limit: int) -> list[SlotUser]:
        """Return up to `limit` users at the head of the slot list that is to be released next.

        A list that is gone has none. Raises DamagedKeyError where a key of another type has taken its place.
        """
        slot = occurrence.spread.slot(progress.released)
        flat = await self._scripts.call(
            "slot_read",
            [keys.slot(occurrence.task_id, slot, progress.suffix)],
            [limit, keys.USERS_PREFIX, keys.settings_suffix(occurrence.task_id), MAX_PARAMETERS_BYTES],
        )
        return [
            SlotUser(
                user_id=user.decode(errors="surrogateescape"),
                parameters=None if parameters is None else parameters.decode(errors="replace"),
            )
            for user, parameters in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def trim_slot(
        self,
        token: str,
        occurrence: Occurrence,
        progress: Progress,
        *,
        first_user: str,
        count: int,
        without_job: int = 0,
    ) -> bool:
        """Take `count` published users off the slot list, if `first_user` is still its head; False when it is not.

        `without_job` of them were nobody to call. An empty `first_user` stands for a list that is gone with its users.
        """
        released = progress.released
        slot = occurrence.spread.slot(released)
        reply = await self._scripts.call(
            "slot_trim",
            [
                keys.LEASE,
                keys.occurrence(occurrence.task_id, occurrence.id),
                keys.slot(occurrence.task_id, slot, progress.suffix),
                keys.OCCURRENCES,
                keys.DUE_HELD,
                keys.DUE_HELD_INSTANTS,
            ],
            [
                token,
                occurrence.member,
                released,
                count,
                first_user.encode(errors="surrogateescape"),
                to_unix_ms(occurrence.execute_after(released + count)),
                without_job,
            ],
        )
        return int(reply) == 1

    async def open(self, token: str, occurrence: Occurrence) -> None:
        """Note that the occurrence's instant has come."""
        await self._scripts.call(
            "occurrence_open",
            [
                keys.LEASE,
                keys.occurrence(occurrence.task_id, occurrence.id),
                keys.last_execution(occurrence.task_id),
            ],
            [token, rfc3339(occurrence.scheduled_at.replace(microsecond=0))],
        )

    async def close(self, token: str, member: str) -> bool:
        """Take an occurrence that is released to the end, or whose record is gone, off the live ones."""
        task_id, occurrence_id = member.split(":", 1)
        reply = await self._scripts.call(
            "occurrence_close",
            [keys.LEASE, keys.occurrence(task_id, occurrence_id), keys.OCCURRENCES, keys.PLAIN_SLOT_OWNERS],
            [token, member, task_id, occurrence_id, _KEPT_AFTER_WINDOW // _MILLISECOND],
        )
        return int(reply) == 1

    async def abandon(self, token: str, occurrence: Occurrence, progress: Progress) -> None:
        """Close a live occurrence without releasing the rest of it: its slot lists and its record go.

        Interrupted, it leaves the occurrence live; asked again, it goes on.
        """
        occurrence_key = keys.occurrence(occurrence.task_id, occurrence.id)
        fixed = [keys.LEASE, occurrence_key, keys.OCCURRENCES, keys.PLAIN_SLOT_OWNERS]
        slots = range(occurrence.spread.slot(progress.released), occurrence.spread.slot(progress.planned) + 1)
        for start in range(slots.start, slots.stop, _LISTS_PER_CALL):
            piece = slots[start - slots.start : start - slots.start + _LISTS_PER_CALL]
            lists = [keys.slot(occurrence.task_id, slot, progress.suffix) for slot in piece]
            last = int(piece[-1] == slots[-1])
            await self._scripts.call(
                "occurrence_abandon",
                [*fixed, *lists],
                [token, occurrence.member, occurrence.task_id, occurrence.id, last],
            )

    async def last_execution(self, task_id: str) -> str | None:
        """Return when the task was last executed, RFC 3339, or None before the first time."""
        reply = await self._store.command("GET", keys.last_execution(task_id))
        return None if reply is None else reply.decode(errors="replace")


def _by_slot(occurrence: Occurrence, progress: Progress, users: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    spread = occurrence.spread
    numbered = ((spread.slot(progress.planned + position), user) for position, user in enumerate(users))
    for number, group in groupby(numbered, key=lambda pair: pair[0]):
        yield number, [user for _, user in group]


def _hash_of(reply: Any) -> Any:
    return reply if isinstance(reply, Exception) else dict(zip(reply[::2], reply[1::2], strict=True))


def _counted(slots: Iterable[tuple[int, Sequence[str]]]) -> list[Argument]:
    arguments: list[Argument] = []
    for _, users in slots:
        arguments += [len(users), *users]
    return arguments


def _kept_ms(window: timedelta, max_age: timedelta = timedelta(0)) -> int:
    return (window + max(_KEPT_AFTER_WINDOW, max_age + _KEPT_AFTER_MAX_AGE)) // _MILLISECOND
