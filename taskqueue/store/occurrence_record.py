"""The record of an occurrence in Redis: a hash of what was decided about it and how far it has got."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.errors import DamagedKeyError
from taskqueue.store.connection import Argument, refused_for

_MILLISECOND = timedelta(milliseconds=1)


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
        scheduled_at=from_unix_ms(int(fields["scheduled_at"])),
        starts_at=from_unix_ms(int(fields["starts_at"])),
        created_at=from_unix_ms(int(fields["created_at"])),
        window=int(fields["window_ms"]) * _MILLISECOND,
        users=int(fields["users"]),
        correlation_id=fields["correlation_id"],
        distributed=fields["distributed"] == "1",
        over_by=from_unix_ms(int(fields["over_by"])) if "over_by" in fields else None,
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
