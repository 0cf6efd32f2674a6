"""The states of an execution, and the only table of the ways between them."""

from __future__ import annotations

from enum import StrEnum

from taskqueue.errors import InvalidValueError


class Status(StrEnum):
    """The spec's Status, with `cancelled` (REST API) and `skipped` (preference switched off)."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    RETRYING = "retrying"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


TERMINAL = frozenset({Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.SKIPPED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.SKIPPED}),
    Status.RUNNING: frozenset({Status.SUCCESS, Status.FAILED, Status.RETRYING, Status.CANCELLED}),
    Status.RETRYING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.SKIPPED}),
    **dict.fromkeys(TERMINAL, frozenset[Status]()),
}


def advance(current: Status, following: Status) -> Status:
    """Return `following`, or raise InvalidValueError where the table has no such way."""
    if following not in TRANSITIONS[current]:
        raise InvalidValueError(f"an execution that is {current} cannot become {following}")
    return following
