"""The record of an occurrence in Redis: a hash of what was decided about it and how far it has got."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.zones import LAST_INSTANT
from taskqueue.errors import DamagedKeyError
from taskqueue.store.connection import Argument, refused_for

_MILLISECOND = timedelta(milliseconds=1)

#: as our scripts write numbers; anything else Python, Lua and Redis would each read in their own way
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)

_STATES = frozenset({"planning", "planned", "released"})


def record_fields(occurrence: Occurrence) -> list[Argument]:
    """Return fields and values of what was decided, one after the other."""
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


def readable_record(key: str, member: str, reply: Any) -> tuple[Occurrence, Progress]:
    """Return what Redis has at `key`, of the occurrence called `member`. Raises DamagedKeyError where it is none."""
    if isinstance(reply, Exception):
        raise refused_for(key, reply)
    try:
        return _parse_record(member, _fields(reply))
    except (KeyError, ValueError, OverflowError) as error:
        problem = f"cannot be read: {type(error).__name__} {str(error)[:100]}"
        raise DamagedKeyError(key, problem, unreadable=True) from None


def _parse_record(member: str, fields: Mapping[str, str]) -> tuple[Occurrence, Progress]:
    task_id, occurrence_id = member.split(":", 1)
    occurrence = Occurrence(
        id=occurrence_id,
        task_id=task_id,
        cohort=fields["cohort"],
        source=JobSource(fields["source"]),
        scheduled_at=_instant(fields, "scheduled_at"),
        starts_at=_instant(fields, "starts_at"),
        created_at=_instant(fields, "created_at"),
        window=_number(fields, "window_ms") * _MILLISECOND,
        users=_number(fields, "users"),
        correlation_id=fields["correlation_id"],
        distributed=fields["distributed"] == "1",
        over_by=_instant(fields, "over_by") if "over_by" in fields else None,
    )
    if occurrence.starts_at + occurrence.window > LAST_INSTANT:
        raise ValueError("it lies beyond the calendar")
    progress = Progress(
        suffix=fields["suffix"],
        cursor=fields.get("cursor", ""),
        planned=_number(fields, "planned"),
        released=_number(fields, "released"),
        complete=_state(fields) != "planning",
        opened=fields.get("opened") == "1",
    )
    return occurrence, progress


def _number(fields: Mapping[str, str], name: str) -> int:
    text = fields[name]
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name} {text[:40]!r} is no number")
    return int(text)


def _instant(fields: Mapping[str, str], name: str) -> datetime:
    return from_unix_ms(_number(fields, name))


def _state(fields: Mapping[str, str]) -> str:
    if (state := fields["state"]) not in _STATES:
        raise ValueError(f"state {state[:40]!r} is none")
    return state
