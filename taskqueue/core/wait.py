"""The times in which a job was put aside: what is kept of each, and how long each lasted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.instants import from_unix_ms, rfc3339, to_unix_ms
from taskqueue.core.waiting import limited_host
from taskqueue.errors import InvalidValueError

_MILLISECOND = timedelta(milliseconds=1)


class WaitReason(StrEnum):
    """Why a job was put aside."""

    #: an attempt failed, and the next one was not due
    RETRY = "retry"
    #: a limit had no room
    LIMIT = "limit"
    #: its host was closed, or had as many calls as it takes
    HOST = "host"
    #: it came to a worker before it was due
    EARLY = "early"
    #: another worker had it
    CLAIMED = "claimed"


#: reasons of waits that are for no limit, as they are stored
_WITHOUT_LIMIT = frozenset({WaitReason.EARLY, WaitReason.CLAIMED})


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRecord:
    """That a job was put aside at `since`, before `attempt`: for a limit (core/waiting), or else for `reason`.

    Raises InvalidValueError without a limit and a reason that needs none.
    """

    since: datetime
    attempt: int
    limit: str | None = None
    reason: WaitReason

    def __post_init__(self) -> None:
        if (self.limit is None) is not (self.reason in _WITHOUT_LIMIT):
            raise InvalidValueError(f"a wait for {self.reason}: the limit is missing, or is one too many")

    @classmethod
    def for_limit(cls, limit: str, *, since: datetime, attempt: int) -> WaitRecord:
        """Return the record of a wait for a limit."""
        reason = WaitReason.LIMIT if limited_host(limit) is None else WaitReason.HOST
        return cls(since=since, attempt=attempt, limit=limit, reason=reason)

    def to_json(self) -> str:
        """Return it as JSON in ASCII; lua/delayed_move.lua writes the same fields."""
        why = {"reason": self.reason.value} if self.limit is None else {"limit": self.limit}
        return json.dumps({"since": to_unix_ms(self.since), "attempt": self.attempt, **why}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes) -> WaitRecord:
        """Return what `to_json` or the script has written. Raises InvalidValueError for anything else."""
        try:
            document = json.loads(text)
            since, attempt = from_unix_ms(int(document["since"])), int(document["attempt"])
            if (limit := document.get("limit")) is not None:
                return cls.for_limit(str(limit), since=since, attempt=attempt)
            return cls(since=since, attempt=attempt, reason=WaitReason(document["reason"]))
        except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError):
            raise InvalidValueError("the record of this wait cannot be read: something else wrote it") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A time in which a job was put aside; `until` is None while it still is."""

    reason: WaitReason
    limit: str | None
    attempt: int
    since: datetime
    until: datetime | None

    def as_dict(self, now: datetime) -> dict[str, object]:
        """Return it as a JSON object; a wait that goes on has lasted until `now`."""
        end = now if self.until is None else self.until
        return {
            "reason": self.reason.value,
            "limit": self.limit,
            "attempt": self.attempt,
            "since": rfc3339(self.since),
            "until": None if self.until is None else rfc3339(self.until),
            "duration_ms": max(timedelta(0), end - self.since) // _MILLISECOND,
        }


def waits_of(
    records: Iterable[WaitRecord],
    attempts: Sequence[AttemptRecord],
    *,
    claimed_at: datetime | None,
    ended_at: datetime | None,
) -> tuple[Wait, ...]:
    """Return the waits of a job in the order of their time; each lasts until the next thing that is known of the job.

    That is the beginning of an attempt, another wait, or its end. A failed attempt that another one follows begins a
    wait as well. `claimed_at` is when the attempt that runs began, None where none does.
    """
    begun = [(record.since, record.reason, record.limit, record.attempt) for record in records]
    begun += [
        (each.completed_at, WaitReason.RETRY, None, each.attempt + 1)
        for each in attempts
        if each.next_attempt is not None
    ]
    begun.sort(key=lambda each: each[0])
    ends = sorted(
        [since for since, *_ in begun]
        + [attempt.started_at for attempt in attempts]
        + [at for at in (claimed_at, ended_at) if at is not None]
    )
    return tuple(
        Wait(
            reason=reason,
            limit=limit,
            attempt=attempt,
            since=since,
            until=next((end for end in ends if end > since), None),
        )
        for since, reason, limit, attempt in begun
    )
