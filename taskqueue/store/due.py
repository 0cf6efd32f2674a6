"""The due work in Redis: which cohort of which task is due next, what waits, and the rules that both follow from.

Every write here belongs to the leader and is refused with LeaseLostError when the lease holds another token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.skipped import SkippedInstants
from taskqueue.core.zones import FIRST_INSTANT, LAST_INSTANT
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore, checked
from taskqueue.store.scripts import Scripts

_FIRST_MS, _LAST_MS = to_unix_ms(FIRST_INSTANT), to_unix_ms(LAST_INSTANT)

#: what is kept of the instants that a cohort has skipped
SKIPPED_KEPT = timedelta(days=8)
_MOST_SKIPPED = 100

#: follows the instant of an entry that found the occurrence before it running
_WAITED = ":waited"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueEntry:
    """One line of the due work: the next instant of a cohort of a task that is not planned yet."""

    task_id: str
    cohort: str
    at: datetime
    #: it stands among the held ones
    held: bool = False
    #: it found the occurrence before it running when its instant had come
    waited: bool = False

    @property
    def member(self) -> str:
        """Its name in the ZSET."""
        return due_member(self.task_id, self.cohort)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueChanges:
    """What a sync did: how many entries it set or removed, and those among them that lost an instant."""

    changed: int
    dropped: tuple[DueEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCounts:
    """How many entries there are, how many of them can be found by their time, and how many have a rule.

    `ended` have a rule, but no entry, for they are never due again.
    """

    entries: int
    scored: int
    rules: int
    ended: int

    @property
    def lost(self) -> bool:
        """Whether there are rules that should have an entry, and have none."""
        return self.rules > self.entries + self.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Members without an entry: `lost` ones, and those that are noted as never due again."""

    lost: tuple[str, ...]
    ended: tuple[str, ...]


def due_member(task_id: str, cohort: str) -> str:
    """Return the name of a cohort's line in the due work."""
    return f"{task_id}:{cohort}" if cohort else task_id


class DueStore:
    """The due work: entries that come at their instant, and held ones that are looked at again at another.

    One that others wrote and that is none hides no other: `take_damaged` tells of those that a look has met.
    """

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self._damaged: list[DamagedKeyError] = []

    async def until(self, instant: datetime, limit: int) -> list[DueEntry]:
        """Return up to `limit` entries that are due until `instant`, the earliest first; none that are held."""
        return self._entries(await self._until(keys.DUE, instant, limit))

    async def held_until(self, instant: datetime, limit: int) -> list[DueEntry]:
        """Return up to `limit` held entries that are to be looked at until `instant`."""
        return await self._held_entries(await self._until(keys.DUE_HELD, instant, limit))

    async def piece(self, start: int, count: int) -> list[DueEntry]:
        """Return the entries from the `start`-th on, the latest first: up to `count`, and as many held ones."""
        window = (start, start + count - 1, "REV", "WITHSCORES")
        replies = await self._store.pipeline([("ZRANGE", key, *window) for key in (keys.DUE, keys.DUE_HELD)])
        due, held = (checked(reply) for reply in replies)
        return self._entries(due) + await self._held_entries(held)

    def take_damaged(self) -> list[DamagedKeyError]:
        """Return what the looks since the last call have met that is no entry."""
        taken, self._damaged = self._damaged, []
        return taken

    async def next(self) -> datetime | None:
        """Return the instant of the earliest entry that is not held, or None when there is none."""
        return await self._first(keys.DUE)

    async def next_after(self, instant: datetime) -> datetime | None:
        """Return the instant of the first entry after `instant` that is not held, or None when there is none."""
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.DUE, f"({to_unix_ms(instant)}", "+inf", "WITHSCORES", "LIMIT", 0, 1
        )
        return _instant_of(reply)

    async def next_held(self) -> datetime | None:
        """Return when the first held entry is to be looked at, or None when there is none."""
        return await self._first(keys.DUE_HELD)

    async def rules(self) -> dict[str, str]:
        """Return the rule (canonical JSON) of every entry by member, as of the last sync.

        What is not UTF-8 in a member stands as lone surrogates, so that it can be removed.
        """
        reply = await self._store.command("HGETALL", keys.DUE_RULES)
        return {
            member.decode(errors="surrogateescape"): rule.decode(errors="replace") for member, rule in reply.items()
        }

    async def counts(self) -> DueCounts:
        """Return what tells whether entries are lost; O(1)."""
        due, scored, held, rules, ended = await self._store.read(
            ("ZCARD", keys.DUE),
            ("ZCARD", keys.DUE_HELD),
            ("HLEN", keys.DUE_HELD_INSTANTS),
            ("HLEN", keys.DUE_RULES),
            ("SCARD", keys.DUE_ENDED),
        )
        return DueCounts(entries=due + held, scored=due + scored, rules=rules, ended=ended)

    async def missing(self, members: Sequence[str]) -> Missing:
        """Return those of `members`, some hundred of them, that have no entry."""
        due, held, noted = await self._store.read(
            ("ZMSCORE", keys.DUE, *members),
            ("HMGET", keys.DUE_HELD_INSTANTS, *members),
            ("SMISMEMBER", keys.DUE_ENDED, *members),
        )
        lost, ended = list[str](), list[str]()
        for member, score, instant, is_noted in zip(members, due, held, noted, strict=True):
            if score is None and instant is None:
                (ended if is_noted else lost).append(member)
        return Missing(lost=tuple(lost), ended=tuple(ended))

    async def sync(
        self, token: str, *, remove: Sequence[str], keep: Iterable[tuple[str, str, datetime | None]]
    ) -> DueChanges:
        """Remove the members in `remove`; set those of `keep` (member, rule, first instant) whose rule is new.

        Those of `keep` that have no entry are set as well. What has no instant is noted as never due again.
        """
        flat = [text for member, rule, first in keep for text in (member, rule, score_of(first))]
        changed, *dropped = await self._scripts.call(
            "due_sync",
            [keys.LEASE, keys.DUE, keys.DUE_RULES, keys.DUE_HELD, keys.DUE_HELD_INSTANTS, keys.DUE_ENDED],
            [token, len(remove), *(member.encode(errors="surrogateescape") for member in remove), *flat],
        )
        return DueChanges(changed=int(changed), dropped=tuple(_entry(*each) for each in _sifted(keys.DUE, dropped)[0]))

    async def hold(self, token: str, entry: DueEntry) -> bool:
        """Let `entry` wait until exactly its instant; False when it had moved already."""
        held = await self._scripts.call(
            "due_hold",
            [keys.LEASE, keys.DUE, keys.DUE_HELD, keys.DUE_HELD_INSTANTS],
            [token, entry.member, to_unix_ms(entry.at)],
        )
        return int(held) == 1

    async def note_skipped(self, token: str, notes: Sequence[tuple[str, SkippedInstants]]) -> None:
        """Note what the cohorts of these members, some hundred of them, have skipped. Raises LeaseLostError."""
        await self._scripts.call(
            "due_skipped",
            [keys.LEASE, *(keys.skipped(member) for member, _ in notes)],
            [
                token,
                SKIPPED_KEPT // timedelta(milliseconds=1),
                _MOST_SKIPPED,
                *(skipped.to_json() for _, skipped in notes),
            ],
        )

    async def look_again(self, token: str) -> None:
        """Let every held entry whose instant has come be looked at now."""
        await self._scripts.call(
            "due_look_again", [keys.LEASE, keys.DUE_HELD, keys.DUE_HELD_INSTANTS], [token, _LAST_MS]
        )

    async def _until(self, key: str, instant: datetime, limit: int) -> Sequence[bytes]:
        reply: Sequence[bytes] = await self._store.command(
            "ZRANGEBYSCORE", key, "-inf", to_unix_ms(instant), "WITHSCORES", "LIMIT", 0, limit
        )
        return reply

    def _entries(self, reply: Sequence[bytes]) -> list[DueEntry]:
        found, damaged = _sifted(keys.DUE, reply)
        self._damaged += damaged
        return [_entry(member, at) for member, at in found]

    async def _held_entries(self, reply: Sequence[bytes]) -> list[DueEntry]:
        found, damaged = _sifted(keys.DUE_HELD, reply)
        self._damaged += damaged
        members = [member for member, _ in found]
        texts = await self._store.command("HMGET", keys.DUE_HELD_INSTANTS, *members) if members else []
        entries = list[DueEntry]()
        for member, text in zip(members, texts, strict=True):
            try:
                entries.append(_held_entry(member, text))
            except DamagedKeyError as error:
                self._damaged.append(error)
        return entries

    async def _first(self, key: str) -> datetime | None:
        return _instant_of(await self._store.command("ZRANGE", key, 0, 0, "WITHSCORES"))


def _instant_of(reply: Sequence[bytes]) -> datetime | None:
    # What is no instant is looked at now, or with the first one behind it.
    return from_unix_ms(int(min(max(float(reply[1]), _FIRST_MS), _LAST_MS))) if reply else None


def scored(key: str, reply: Sequence[bytes]) -> list[tuple[str, datetime]]:
    """Return members and instants of a sorted set. Raises DamagedKeyError for an entry that is none of ours."""
    found, damaged = _sifted(key, reply)
    if damaged:
        raise damaged[0]
    return found


def score_of(instant: datetime | None) -> Argument:
    """Return the instant as a script takes it; None as an empty text."""
    return "" if instant is None else to_unix_ms(instant)


def _sifted(key: str, reply: Sequence[bytes]) -> tuple[list[tuple[str, datetime]], list[DamagedKeyError]]:
    """Return members and instants of a sorted set, and what is wrong with the entries that are none of ours."""
    found, damaged = list[tuple[str, datetime]](), list[DamagedKeyError]()
    for member, score in zip(reply[::2], reply[1::2], strict=True):
        if not _FIRST_MS <= float(score) <= _LAST_MS:
            damaged.append(DamagedKeyError(key, "has an entry at a score that is no instant", member=member))
            continue
        if member.endswith(b":"):
            damaged.append(DamagedKeyError(key, "has an entry with nothing behind its colon", member=member))
            continue
        try:
            found.append((member.decode(), from_unix_ms(int(float(score)))))
        except UnicodeDecodeError:
            damaged.append(DamagedKeyError(key, "has an entry that is no text", member=member))
    return found, damaged


def _entry(member: str, at: datetime) -> DueEntry:
    task_id, _, cohort = member.partition(":")
    return DueEntry(task_id=task_id, cohort=cohort, at=at)


def _held_entry(member: str, text: bytes | None) -> DueEntry:
    instant, mark, rest = ("" if text is None else text.decode(errors="replace")).partition(_WAITED)
    readable = not rest and instant.isascii() and instant.isdigit() and len(instant) <= len(str(_LAST_MS))
    if not readable or int(instant) > _LAST_MS:
        raise DamagedKeyError(keys.DUE_HELD, "has an entry without an instant", member=member.encode())
    task_id, _, cohort = member.partition(":")
    return DueEntry(task_id=task_id, cohort=cohort, at=from_unix_ms(int(instant)), held=True, waited=mark != "")
