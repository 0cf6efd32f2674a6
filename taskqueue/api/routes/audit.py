"""The audit log: who changed what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from taskqueue.api.auth import Admin
from taskqueue.api.route import api_router
from taskqueue.api.schemas_audit import AuditAnswer, change_answer
from taskqueue.api.services import ServicesOf
from taskqueue.store.audit import AuditLog

router = api_router("monitoring")

_ENTRY_ID = r"^[0-9]{1,19}-[0-9]{1,19}$"


@router.get("/audit", summary="Get the audit log")
async def get_audit_log(
    _caller: Admin,
    services: ServicesOf,
    limit: Annotated[int, Query(ge=1, le=100, description="Entries at most.")] = 20,
    before: Annotated[str | None, Query(description="`next` of the page before.", pattern=_ENTRY_ID)] = None,
) -> AuditAnswer:
    """Return who changed what, the latest first. About 10,000 requests are kept; never bodies, never secrets."""
    entries = await AuditLog(services.store).read(limit=limit, before=before)
    return AuditAnswer(
        entries=[change_answer(entry) for entry in entries],
        next=entries[-1].entry_id if len(entries) == limit else None,
    )
