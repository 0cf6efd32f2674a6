"""Bodies of the audit log."""

from __future__ import annotations

from taskqueue.api.schemas import AnswerBody, Instant
from taskqueue.store.audit import AuditEntry


class ChangeAnswer(AnswerBody):
    """A request that may have changed something."""

    at: Instant
    """When it was answered."""
    method: str
    """Its method."""
    route: str
    """The template of its path, as in /api/v1/tasks/{task_id}."""
    ids: dict[str, str]
    """What stood in the path, by the names in `route`."""
    token_id: str
    """The id of the token that it came with; `bootstrap` for the one that the API was started with."""
    status: int
    """The status of its answer."""
    request_id: str
    """The X-Request-Id of its answer."""


class AuditAnswer(AnswerBody):
    """Part of the audit log, the latest first."""

    entries: list[ChangeAnswer]
    """Requests with a valid token that were no GET, whatever became of them."""
    next: str | None
    """For `before`, to get the entries before these; null at the end."""


def change_answer(entry: AuditEntry) -> ChangeAnswer:
    """Return `entry` as it goes out."""
    change = entry.change
    return ChangeAnswer(
        at=entry.at,
        method=change.method,
        route=change.route,
        ids=dict(change.ids),
        token_id=change.token_id,
        status=change.status,
        request_id=change.request_id,
    )
