"""The quota of each token: a token bucket in Redis, told in the headers of every answer.

The headers are those of draft-ietf-httpapi-ratelimit-headers up to version 7, which clients of many APIs know:
RateLimit-Limit (requests at once), RateLimit-Remaining, and RateLimit-Reset (seconds until all may pass again).
"""

from __future__ import annotations

import math

from starlette.requests import Request

from taskqueue.api.auth import Caller
from taskqueue.api.context import add_headers
from taskqueue.api.problems import too_many_requests
from taskqueue.api.services import Services
from taskqueue.store.api_requests import QuotaStore


async def count_request(request: Request, caller: Caller, services: Services) -> None:
    """Count `request` against the quota of `caller`. Raises ProblemError 429 when nothing is left, and StoreError."""
    limits = services.settings.api
    quota = await QuotaStore(services.scripts).take(caller.token_id, rate=limits.rate_limit, burst=limits.rate_burst)
    add_headers(
        request,
        {
            "RateLimit-Limit": str(limits.rate_burst),
            "RateLimit-Remaining": str(quota.remaining),
            "RateLimit-Reset": str(math.ceil(quota.whole_in.total_seconds())),
        },
    )
    if not quota.passed:
        wait_s = math.ceil(quota.next_in.total_seconds())
        raise too_many_requests(
            f"this token may send {limits.rate_limit:g} requests per second; try again in {wait_s} s",
            retry_after_s=wait_s,
        )
