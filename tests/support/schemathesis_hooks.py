"""Loaded into schemathesis: texts of the formats that our OpenAPI document names, so that most requests are taken."""

from __future__ import annotations

import re
from collections import deque
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
_EXPRESSIONS = ("0 0 29 2 *", "*/5 1 * * mon", "30 8 1 1,7 *", "@monthly", "0 6-22/2 * * *")

schemathesis.openapi.format("cron", st.sampled_from(_EXPRESSIONS))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
# Nothing listens there, and no worker of these tests may call it.
schemathesis.openapi.format("uri", st.integers(1, 65535).map("http://127.0.0.1:{}/".format))
# To come, so that a task may run once at such an instant.
schemathesis.openapi.format(
    "date-time", st.datetimes().map(lambda each: f"{2100 + each.year % 100}-{each:%m-%dT%H:%M:%S}Z")
)


#: ids of tasks that were made, the latest last
_made: deque[str] = deque(maxlen=20)
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@schemathesis.hook
def after_call(_context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Remember which tasks there are."""
    if case.operation.label == "POST /api/v1/tasks" and response.status_code == 201:
        _made.append(response.json()["task_id"])


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Let most tasks depend on one that there is: a request names one of two, and the other one would be made up."""
    operation = context.operation
    if _made and isinstance(body, dict) and operation is not None and operation.label.endswith("/dependencies"):
        wanted = body.get("depends_on_task_id")
        # What is not an id stays: it is to be refused.
        if isinstance(wanted, str) and _PLAIN_ID.fullmatch(wanted):
            return {**body, "depends_on_task_id": _made[len(wanted) % len(_made)]}
    return body


@schemathesis.hook
def map_headers(_context: schemathesis.HookContext, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give each request a key of its own where it has one: a key that came before stands for another request."""
    key = (headers or {}).get("Idempotency-Key")
    if headers is not None and isinstance(key, str) and _KEY.fullmatch(key):
        headers["Idempotency-Key"] = str(uuid4())
    return headers
