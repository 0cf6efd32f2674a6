"""What the demo sees: calls at the endpoint, messages in the failed queue, users in the slot lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from taskqueue.broker.failed import FailedMessage
from taskqueue.core.codec import decode_message
from taskqueue.core.failures import ATTEMPTS_HEADER, REASON_HEADER
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.dev.demo_judge import SeenCall, SeenFailure, SeenPlan
from taskqueue.dev.target import Call
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.plan import PlanStore

_LIVE_AT_MOST = 1000

#: stands for a header that is missing or unreadable: no expected job has it
_NO_INSTANT = datetime.fromtimestamp(0, UTC)


def seen_call(call: Call) -> SeenCall:
    """Return a recorded call as the judge wants it."""
    headers = call.headers
    attempt = headers.get("x-taskqueue-attempt", "")
    return SeenCall(
        at=datetime.fromtimestamp(call.at, UTC),
        task_id=headers.get("x-taskqueue-task", ""),
        user_id=unquote(headers.get("x-taskqueue-user", "")),
        job_id=unquote(headers.get("idempotency-key", "")),
        scheduled_at=_instant(headers.get("x-taskqueue-scheduled-at", "")),
        attempt=int(attempt) if attempt.isdigit() else 0,
        method=call.method,
        path=urlsplit(call.path).path,
        fields=_fields(call),
        status=call.status,
    )


def seen_failure(message: FailedMessage) -> SeenFailure:
    """Return a message of the failed queue as the judge wants it. Raises MessageError for one that is no job."""
    job = decode_message(message.body).job
    attempts = message.headers.get(ATTEMPTS_HEADER)
    return SeenFailure(
        task_id=job.task_type_id,
        user_id=job.user_id,
        scheduled_at=job.scheduled_at,
        attempts=attempts if isinstance(attempts, int) else 0,
        reason=str(message.headers.get(REASON_HEADER, "")),
    )


async def read_plan(plan: PlanStore, store: RedisStore, minute: datetime) -> list[SeenPlan]:
    """Return everybody who stands in a slot list of an occurrence at `minute`, in the order of the lists.

    Complete only before the first of them is released.
    """
    members = [member for member, _ in await plan.live(None, _LIVE_AT_MOST)]
    found: list[SeenPlan] = []
    for occurrence, progress in (await plan.read(members)).values():
        if occurrence.scheduled_at == minute:
            found += await _read_slots(store, occurrence, progress)
    return found


async def _read_slots(store: RedisStore, occurrence: Occurrence, progress: Progress) -> Iterable[SeenPlan]:
    slots = occurrence.spread.slots
    slot_keys = [keys.slot(occurrence.task_id, slot, progress.suffix) for slot in range(slots)]
    lists: list[list[bytes]] = await store.pipeline([("LRANGE", key, 0, -1) for key in slot_keys])
    users = [(slot, user.decode()) for slot, members in enumerate(lists) for user in members]
    return [
        SeenPlan(
            key=slot_keys[slot],
            task_id=occurrence.task_id,
            cohort=occurrence.cohort,
            user_id=user,
            scheduled_at=occurrence.scheduled_at,
            slot=slot,
            slots=slots,
            index=index,
            users=len(users),
            window=occurrence.window,
        )
        for index, (slot, user) in enumerate(users)
    ]


def _fields(call: Call) -> Mapping[str, object]:
    if call.method == "GET":
        return dict(parse_qsl(urlsplit(call.path).query))
    try:
        body = json.loads(call.body)
    except ValueError:
        return {"": call.body.decode(errors="replace")}
    return body if isinstance(body, dict) else {"": body}


def _instant(text: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except InvalidValueError:
        return _NO_INSTANT
