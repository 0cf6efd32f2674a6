"""What happens in the API; see events.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskqueue.telemetry.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswered(Event):
    """A request got its answer. `route` is the template of its path, `(none)` where no route has it.

    `caller` is the id of the API token that it came with, None without one that holds.
    """

    method: str
    route: str
    status: int
    duration_s: float
    request_id: str
    caller: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(Event):
    """Answering a request raised what nobody expected; the answer was 500. `exception` is the traceback."""

    method: str
    route: str
    request_id: str
    error: str
    exception: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefusedByStore(Event):
    """Redis or RabbitMQ did not do what a request needed; the answer was 503, or 500 for what will not mend itself."""

    route: str
    request_id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused(Event):
    """A request came without a token that holds; `reason` is a stable word, `client` the address it came from.

    `caller` is the id that the token names, where it is spelt like one of ours; none may have it.
    """

    reason: str
    client: str
    caller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTokens(Event):
    """A request was refused, and no token exists that would not be."""

    remedy: str = "taskqueue token create --scope admin --name NAME, or set TASKQUEUE_API__BOOTSTRAP_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecorded(Event):
    """A request that may have changed something got its answer; the audit log has it too, unless `stored` is False.

    That is where Redis did not take it, where the answer was 403 or 429, and where the request was cut by a drain.

    `ids` are those in the path, by the names they have in `route`; `caller` is the id of the API token.
    """

    method: str
    route: str
    ids: Mapping[str, str]
    caller: str
    status: int
    request_id: str
    stored: bool
