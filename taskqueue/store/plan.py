"""The plan in Redis: what is due, which occurrences are live, and whose job is in which slot.

Every write here belongs to the leader and is refused with LeaseLostError when the lease holds another token; except the
occurrence of a manual trigger, which any process may add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from taskqueue.core.instants import from_unix_ms, rfc3339, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore, checked
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)

#: in a message they are in base64, and the whole may have 256 KiB
MAX_PARAMETERS_BYTES = 128 * 1024

#: a slot list or record outlives its window by this much; whatever is released later is too old to run
_KEPT_AFTER_WINDOW = timedelta(days=7)

#: a planner that stopped without a word blocks nobody: the lock only tells ops who plans
_PLANNING_LOCK_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DueEntry:
    """One line of the due work: the next instant of a cohort of a task that is not planned yet."""

    task_id: str
    cohort: str
    at: datetime

    @property
    def member(self) -> str:
        """Its name in the ZSET."""
        return due_member(self.task_id, self.cohort)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotUser:
    """A user in a slot list, and the parameters (JSON text) that are set for the task; empty without.

    None stands for parameters of more than MAX_PARAMETERS_BYTES.
    """

    user_id: str
    parameters: str | None


def due_member(task_id: str, cohort: str) -> str:
    """Return the name of a cohort's line in the due work."""
    return f"{task_id}:{cohort}" if cohort else task_id


class PlanStore:
    """Due work, occurrences and slot lists."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    # --- due work -----------------------------------------------------------------------------------------------------

    async def due_until(self, instant: datetime, limit: int) -> list[DueEntry]:
        """Return up to `limit` entries that are due until `instant`, the earliest first."""
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.DUE, "-inf", to_unix_ms(instant), "WITHSCORES", "LIMIT", 0, limit
        )
        return [_due_entry(member, score) for member, score in _scored(reply)]

    async def next_due(self) -> datetime | None:
        """Return the instant of the earliest entry, or None when nothing is ever due."""
        reply = await self._store.command("ZRANGE", keys.DUE, 0, 0, "WITHSCORES")
        return next((from_unix_ms(score) for _, score in _scored(reply)), None)

    async def due_rules(self) -> dict[str, str]:
        """Return the rule (canonical JSON) of every entry by member, as of the last sync."""
        reply = await self._store.command("HGETALL", keys.DUE_RULES)
        return _fields(reply)

    async def sync_due(
        self, token: str, *, remove: Sequence[str], keep: Iterable[tuple[str, str, datetime | None]]
    ) -> int:
        """Remove the members in `remove`; set those of `keep` (member, rule, first instant) whose rule is new."""
        flat = [text for member, rule, first in keep for text in (member, rule, _score(first))]
        changed = await self._scripts.call(
            "due_sync", [keys.LEASE, keys.DUE, keys.DUE_RULES], [token, len(remove), *remove, *flat]
        )
        return int(changed)

    # --- planning -----------------------------------------------------------------------------------------------------

    async def move_due(self, token: str, entry: DueEntry, following: datetime | None) -> bool:
        """Move `entry` to its following instant without an occurrence; False when it had moved already."""
        return await self._begin(token, entry, following, None) == 1

    async def begin(self, token: str, entry: DueEntry, following: datetime | None, occurrence: Occurrence) -> bool:
        """Move `entry` to its following instant and open `occurrence` in the same step; False when it had moved."""
        return await self._begin(token, entry, following, occurrence) != 0

    async def _begin(
        self, token: str, entry: DueEntry, following: datetime | None, occurrence: Occurrence | None
    ) -> int:
        task_id = entry.task_id
        occurrence_id = occurrence.id if occurrence else ""
        arguments: list[Argument] = [token, entry.member, to_unix_ms(entry.at), _score(following)]
        if occurrence is None:
            arguments += ["", "", task_id, "0", 0, 0, 0]
        else:
            plain = "1" if occurrence.cohort == DEFAULT_COHORT else "0"
            first_due = to_unix_ms(occurrence.starts_at)
            arguments += [occurrence.member, occurrence.id, task_id, plain, first_due]
            arguments += [
                _kept_ms(occurrence.window),
                _PLANNING_LOCK_MS,
                *_record_fields(occurrence),
                "state",
                "planning",
            ]
        reply = await self._scripts.call(
            "plan_begin",
            [
                keys.LEASE,
                keys.DUE,
                keys.occurrence(task_id, occurrence_id),
                keys.OCCURRENCES,
                keys.PLAIN_SLOT_OWNERS,
                keys.planning_lock(task_id),
            ],
            arguments,
        )
        return int(reply)

    async def append(
        self, token: str, occurrence: Occurrence, progress: Progress, users: Sequence[str], cursor: str, *, last: bool
    ) -> bool:
        """Append the next `users` of the order to their slots and move the cursor; False when it had moved already."""
        slots = list(_by_slot(occurrence, progress, users))
        reply = await self._scripts.call(
            "plan_append",
            [
                keys.LEASE,
                keys.occurrence(occurrence.task_id, occurrence.id),
                keys.planning_lock(occurrence.task_id),
                *(keys.slot(occurrence.task_id, number, progress.suffix) for number, _ in slots),
            ],
            [
                token,
                progress.cursor,
                cursor,
                int(last),
                _kept_ms(occurrence.window),
                _PLANNING_LOCK_MS,
                *_counted(slots),
            ],
        )
        return int(reply) >= 0

    async def add_trigger(self, occurrence: Occurrence, users: Sequence[str], batch_size: int) -> None:
        """Add the occurrence of a manual trigger with its `users`; it becomes visible with the last of them.

        Asked again with the same occurrence id and users, it adds only what is missing.
        """
        fields: list[Argument] = [*_record_fields(occurrence), "suffix", f":{occurrence.id}", "released", 0]
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
                    _kept_ms(occurrence.window),
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
        """Return (member, next due instant) of up to `limit` live occurrences due until then, the earliest first."""
        highest: Argument = "+inf" if until is None else to_unix_ms(until)
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.OCCURRENCES, "-inf", highest, "WITHSCORES", "LIMIT", 0, limit
        )
        return [(member, from_unix_ms(score)) for member, score in _scored(reply)]

    async def read(self, members: Sequence[str]) -> dict[str, tuple[Occurrence, Progress]]:
        """Return the occurrences called `members` that still exist."""
        record_keys = [keys.occurrence(*member.split(":", 1)) for member in members]
        replies = await self._store.pipeline([("HGETALL", key) for key in record_keys])
        return {
            member: _parse_record(member, fields)
            for member, reply in zip(members, replies, strict=True)
            if (fields := _fields(checked(reply)))
        }

    async def read_slot(self, occurrence: Occurrence, progress: Progress, limit: int) -> list[SlotUser]:
        """Return up to `limit` users at the head of the slot list that is to be released next."""
        slot = occurrence.spread.slot(progress.released)
        flat = await self._scripts.call(
            "slot_read",
            [keys.slot(occurrence.task_id, slot, progress.suffix)],
            [limit, keys.USERS_PREFIX, keys.settings_suffix(occurrence.task_id), MAX_PARAMETERS_BYTES],
        )
        return [
            SlotUser(
                user_id=user.decode(), parameters=None if parameters is None else parameters.decode(errors="replace")
            )
            for user, parameters in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def trim_slot(
        self, token: str, occurrence: Occurrence, progress: Progress, *, first_user: str, count: int
    ) -> bool:
        """Take `count` published users off the slot list, if `first_user` is still its head; False when it is not."""
        released = progress.released
        slot = occurrence.spread.slot(released)
        reply = await self._scripts.call(
            "slot_trim",
            [
                keys.LEASE,
                keys.occurrence(occurrence.task_id, occurrence.id),
                keys.slot(occurrence.task_id, slot, progress.suffix),
                keys.OCCURRENCES,
            ],
            [
                token,
                occurrence.member,
                released,
                count,
                first_user,
                to_unix_ms(occurrence.execute_after(released + count)),
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
            [token, member, task_id, occurrence_id],
        )
        return int(reply) == 1

    async def last_execution(self, task_id: str) -> str | None:
        """Return when the task was last executed, RFC 3339, or None before the first time."""
        reply = await self._store.command("GET", keys.last_execution(task_id))
        return None if reply is None else reply.decode(errors="replace")


def _by_slot(occurrence: Occurrence, progress: Progress, users: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    spread = occurrence.spread
    numbered = ((spread.slot(progress.planned + position), user) for position, user in enumerate(users))
    for number, group in groupby(numbered, key=lambda pair: pair[0]):
        yield number, [user for _, user in group]


def _counted(slots: Iterable[tuple[int, Sequence[str]]]) -> list[Argument]:
    arguments: list[Argument] = []
    for _, users in slots:
        arguments += [len(users), *users]
    return arguments


def _kept_ms(window: timedelta) -> int:
    return (window + _KEPT_AFTER_WINDOW) // _MILLISECOND


def _score(instant: datetime | None) -> Argument:
    return "" if instant is None else to_unix_ms(instant)


def _scored(reply: Sequence[bytes]) -> list[tuple[str, int]]:
    return [(member.decode(), int(float(score))) for member, score in zip(reply[::2], reply[1::2], strict=True)]


def _due_entry(member: str, score: int) -> DueEntry:
    task_id, _, cohort = member.partition(":")
    return DueEntry(task_id=task_id, cohort=cohort, at=from_unix_ms(score))


def _record_fields(occurrence: Occurrence) -> list[Argument]:
    fields: list[Argument] = [
        "cohort", occurrence.cohort,
        "source", occurrence.source.value,
        "scheduled_at", to_unix_ms(occurrence.scheduled_at),
        "starts_at", to_unix_ms(occurrence.starts_at),
        "created_at", to_unix_ms(occurrence.created_at),
        "window_ms", occurrence.window // _MILLISECOND,
        "users", occurrence.users,
        "correlation_id", occurrence.correlation_id,
        "distributed", int(occurrence.distributed),
    ]  # fmt: skip
    return fields


def _fields(reply: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in reply.items()}


def _parse_record(member: str, fields: Mapping[str, str]) -> tuple[Occurrence, Progress]:
    task_id, occurrence_id = member.split(":", 1)
    occurrence = Occurrence(
        id=occurrence_id,
        task_id=task_id,
        cohort=fields["cohort"],
        source=JobSource(fields["source"]),
        scheduled_at=from_unix_ms(int(fields["scheduled_at"])),
        starts_at=from_unix_ms(int(fields["starts_at"])),
        created_at=from_unix_ms(int(fields["created_at"])),
        window=int(fields["window_ms"]) * _MILLISECOND,
        users=int(fields["users"]),
        correlation_id=fields["correlation_id"],
        distributed=fields["distributed"] == "1",
    )
    progress = Progress(
        suffix=fields["suffix"],
        cursor=fields.get("cursor", ""),
        planned=int(fields["planned"]),
        released=int(fields["released"]),
        complete=fields["state"] != "planning",
        opened=fields.get("opened") == "1",
    )
    return occurrence, progress
