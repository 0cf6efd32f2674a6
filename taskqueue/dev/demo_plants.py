"""Defects planted on purpose: the demo has to see each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum

import httpx

from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import rfc3339
from taskqueue.dev.demo_inputs import REPORT
from taskqueue.dev.demo_judge import SeenPlan
from taskqueue.dev.playground import Playground
from taskqueue.errors import ServiceError


class Plant(StrEnum):
    """What can be planted."""

    LOST = "lost"
    EARLY = "early"
    DOUBLED = "doubled"


async def plant_lost(ground: Playground, planned: Sequence[SeenPlan]) -> str:
    """Take the last user of the report out of its slot list; return who that is."""
    last = [plan for plan in planned if plan.task_id == REPORT][-1]
    user_id: bytes = await ground.store.command("RPOP", last.key)
    return user_id.decode()


async def plant_early(ground: Playground, planned: Sequence[SeenPlan]) -> str:
    """Call the endpoint for the last user of the report now, and not when it is due; return who that is."""
    user_id = await plant_lost(ground, planned)
    scheduled_at = planned[0].scheduled_at
    headers = {
        "Idempotency-Key": scheduled_job_id(REPORT, user_id, scheduled_at),
        "X-TaskQueue-Task": REPORT,
        "X-TaskQueue-User": user_id,
        "X-TaskQueue-Attempt": "1",
        "X-TaskQueue-Scheduled-At": rfc3339(scheduled_at),
    }
    await _send(f"{ground.target.url}/ok/report", headers, json.dumps({"user_id": user_id}).encode())
    return user_id


async def plant_doubled(ground: Playground) -> str:
    """Send the latest call that the report's endpoint got once more; return for whom it was. Raises ServiceError."""
    calls = [call for call in ground.target.calls if call.headers.get("x-taskqueue-task") == REPORT]
    if not calls:
        raise ServiceError(f"nothing called the endpoint of {REPORT}: there is no call to repeat")
    headers = {name: value for name, value in calls[-1].headers.items() if name not in {"host", "content-length"}}
    await _send(ground.target.url + calls[-1].path, headers, calls[-1].body)
    return headers["x-taskqueue-user"]


async def _send(url: str, headers: Mapping[str, str], body: bytes) -> None:
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
        await client.post(url, headers=headers, content=body)
