"""Executions as people read them, and what is said about ids that look like none."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from taskqueue.errors import NotFoundError

_NS_PER_MS = 1_000_000

_WHERE_IDS_ARE = "job ids are UUIDs: taskqueue explain --task T --user U --at TIME names the job"


def id_doubt(job_id: str) -> str:
    """Return what to say about an id that no scheduler gives; empty for one that is a UUID."""
    try:
        UUID(job_id)
    except ValueError:
        return _WHERE_IDS_ARE
    return ""


@contextmanager
def doubting(job_id: str) -> Iterator[None]:
    """Say with a NotFoundError that the id is none, where it is none."""
    try:
        yield
    except NotFoundError as error:
        doubt = id_doubt(job_id)
        if not doubt:
            raise
        raise NotFoundError(f"{error}; {doubt}") from None


def readable(record: Mapping[str, object]) -> dict[str, object]:
    """Return a record for a table: of its ExecutionResult the duration in ms, and the answer's body as text.

    The JSON of an ExecutionResult has nanoseconds and base64 there.
    """
    execution = record.get("execution")
    if not isinstance(execution, Mapping):
        return dict(record)
    return {**record, "execution": dict(_readable_field(name, value) for name, value in execution.items())}


def _readable_field(name: str, value: object) -> tuple[str, object]:
    match name, value:
        case "duration", int():
            return "duration_ms", value // _NS_PER_MS
        case "response", str():
            try:
                return name, base64.b64decode(value, validate=True).decode(errors="replace")
            except binascii.Error:
                return name, value
    return name, value
