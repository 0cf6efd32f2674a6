"""Every code with which an attempt or a job can fail, and every reason for which a job ends in `taskqueue.jobs.failed`.

What is not here cannot be said: failures take their codes from these tables, and whether an attempt is followed by
another is read from them. docs/errors.md is written from them (`make errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

#: whether the endpoint can have seen the request
Sent = Literal["not_sent", "unknown"]


class RetryClass(StrEnum):
    """What becomes of an attempt that failed, while its job has retries left and is young enough."""

    #: another attempt follows
    RETRYABLE = "retryable"
    #: another attempt follows unless the task says `retry_unknown: false`
    UNKNOWN_EFFECT = "unknown effect"
    #: none follows: asking again would not help, or nobody wants it
    PERMANENT = "permanent"


class ErrorCode(StrEnum):
    """The codes of ErrorDetail beside `http_<status>`. Stable: other systems sort and filter by them."""

    DNS_FAILURE = "dns_failure"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_FAILED = "connection_failed"
    TLS_ERROR = "tls_error"
    TIMEOUT = "timeout"
    CONNECTION_RESET = "connection_reset"
    PROTOCOL_ERROR = "protocol_error"
    INVALID_REQUEST = "invalid_request"
    BLOCKED_ADDRESS = "blocked_address"
    WORKER_STOPPED = "worker_stopped"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"
    UNKNOWN_TASK = "unknown_task"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_VERSION = "unknown_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """What a code means. `sent` holds each value that a failure with it can have."""

    meaning: str
    remedy: str
    sent: frozenset[Sent]
    permanent: bool = False

    def retry_class(self, sent: Sent) -> RetryClass:
        """Return the class of a failure of this kind whose request was `sent` or not."""
        if self.permanent:
            return RetryClass.PERMANENT
        return RetryClass.UNKNOWN_EFFECT if sent == "unknown" else RetryClass.RETRYABLE


_BEFORE: Final[frozenset[Sent]] = frozenset({"not_sent"})
_AFTER: Final[frozenset[Sent]] = frozenset({"unknown"})
_EITHER: Final[frozenset[Sent]] = frozenset({"not_sent", "unknown"})

ERRORS: Final[Mapping[ErrorCode, ErrorRow]] = MappingProxyType(
    {
        ErrorCode.DNS_FAILURE: ErrorRow(
            meaning="the host's name cannot be resolved",
            remedy="look the name up from the worker's machine; correct `endpoint` or the DNS",
            sent=_BEFORE,
        ),
        ErrorCode.CONNECT_TIMEOUT: ErrorRow(
            meaning="no connection in time: the look-up, the TCP or the TLS handshake takes too long",
            remedy="firewall, route, or a host too busy to accept; see from the worker's machine whether it connects",
            sent=_BEFORE,
        ),
        ErrorCode.CONNECTION_REFUSED: ErrorRow(
            meaning="the host is there, and nothing listens on the port",
            remedy="start the endpoint, or correct the port",
            sent=_BEFORE,
        ),
        ErrorCode.CONNECTION_FAILED: ErrorRow(
            meaning="no connection for the reason in the message: no route, reset in a handshake, out of files",
            remedy="EHOSTUNREACH and ENETUNREACH in the message are routes, EMFILE is the worker's `ulimit -n`",
            sent=_BEFORE,
        ),
        ErrorCode.TLS_ERROR: ErrorRow(
            meaning="no TLS there, or a certificate that is expired, for another name, or of an unknown authority",
            remedy="correct the certificate, or install its authority where workers run; or `http://` in `endpoint`",
            sent=_BEFORE,
        ),
        ErrorCode.TIMEOUT: ErrorRow(
            meaning="the request was sent, and the answer was not complete within `timeout` and `max_duration`",
            remedy="make the endpoint faster or let it answer 202 and work on; or raise `timeout`",
            sent=_AFTER,
        ),
        ErrorCode.CONNECTION_RESET: ErrorRow(
            meaning="the connection broke: before the request, or before its answer was complete",
            remedy="see the endpoint's log for a crash or restart, and proxies for an idle time below 5 s",
            sent=_EITHER,
        ),
        ErrorCode.PROTOCOL_ERROR: ErrorRow(
            meaning="what came back is no HTTP/1.1 answer, ended early, or has too much of a head",
            remedy="see what answers on that port; `curl --http1.1 -v` shows the same answer",
            sent=_AFTER,
        ),
        ErrorCode.INVALID_REQUEST: ErrorRow(
            meaning="the request cannot be built: a reference without a value, a payload or id that does not fit",
            remedy="by the message: set the variable or file on the workers, or correct the task; then replay",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.BLOCKED_ADDRESS: ErrorRow(
            meaning="the guard forbids the address, name or port",
            remedy="if the call is meant to reach it, add it to `guard.allow` in worker.yaml; replay",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.WORKER_STOPPED: ErrorRow(
            meaning="the worker was stopped and its drain ended before the answer",
            remedy="none if rare; `worker.shutdown_timeout` above what most calls take",
            sent=_EITHER,
        ),
        ErrorCode.CANCELLED: ErrorRow(
            meaning="the job was cancelled during the call, which was cut, or before its next attempt",
            remedy="none: somebody wanted it",
            sent=_EITHER,
            permanent=True,
        ),
        ErrorCode.WORKER_LOST: ErrorRow(
            meaning="a worker died during the call, and the task says `retry_unknown: false`",
            remedy="ask the endpoint whether it did the job (`Idempotency-Key`); if not, replay",
            sent=_AFTER,
            permanent=True,
        ),
        ErrorCode.EXPIRED: ErrorRow(
            meaning="the job was older than `max_age` when a worker came to it",
            remedy="more workers or a higher limit if this is frequent; replay what is still wanted",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.UNKNOWN_TASK: ErrorRow(
            meaning="no task has the id that the message names",
            remedy="correct the producer, or add the task; replay",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.MALFORMED: ErrorRow(
            meaning="the message is no job: not JSON, or a field is missing or wrong; the message says which",
            remedy="correct the producer; docs/amqp.md has the format",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.OVERSIZED: ErrorRow(
            meaning="the message is larger than workers read",
            remedy="let the payload name the data instead of carrying it",
            sent=_BEFORE,
            permanent=True,
        ),
        ErrorCode.UNKNOWN_VERSION: ErrorRow(
            meaning="the message's `version` is not 1.x",
            remedy="update the workers, or let the producer write 1.0; replay",
            sent=_BEFORE,
            permanent=True,
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """Why a job ended in `taskqueue.jobs.failed`, and what to do about it."""

    meaning: str
    remedy: str


class FailReason(StrEnum):
    """The values of the header `taskqueue-reason`."""

    PERMANENT = "permanent"
    RETRIES_EXHAUSTED = "retries_exhausted"
    EFFECT_UNKNOWN = "effect_unknown"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"
    UNKNOWN_TASK = "unknown_task"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_VERSION = "unknown_version"


REASONS: Final[Mapping[FailReason, ReasonRow]] = MappingProxyType(
    {
        FailReason.PERMANENT: ReasonRow(
            meaning="the last attempt failed in a way that asking again would not change; the error code says which",
            remedy="correct the task or the endpoint by that code, then replay",
        ),
        FailReason.RETRIES_EXHAUSTED: ReasonRow(
            meaning="every attempt failed; the error code is that of the last",
            remedy="bring the endpoint back, then replay, paced; more `retries` bridge a longer outage",
        ),
        FailReason.EFFECT_UNKNOWN: ReasonRow(
            meaning="the request was sent and no complete answer came, and the task says `retry_unknown: false`",
            remedy="ask the endpoint whether it did the job (`Idempotency-Key`); if not, replay",
        ),
        FailReason.WORKER_LOST: ReasonRow(
            meaning="the worker died during the call, and the task says `retry_unknown: false`",
            remedy="the same; and find out what kills workers",
        ),
        FailReason.EXPIRED: ReasonRow(
            meaning="the next attempt would start later than `max_age` after the job was due",
            remedy="replay what is still wanted; if jobs wait too long, docs/scheduling.md says for what",
        ),
        FailReason.UNKNOWN_TASK: ReasonRow(
            meaning=ERRORS[ErrorCode.UNKNOWN_TASK].meaning, remedy=ERRORS[ErrorCode.UNKNOWN_TASK].remedy
        ),
        FailReason.MALFORMED: ReasonRow(
            meaning=ERRORS[ErrorCode.MALFORMED].meaning, remedy=ERRORS[ErrorCode.MALFORMED].remedy
        ),
        FailReason.OVERSIZED: ReasonRow(
            meaning=ERRORS[ErrorCode.OVERSIZED].meaning, remedy=ERRORS[ErrorCode.OVERSIZED].remedy
        ),
        FailReason.UNKNOWN_VERSION: ReasonRow(
            meaning=ERRORS[ErrorCode.UNKNOWN_VERSION].meaning, remedy=ERRORS[ErrorCode.UNKNOWN_VERSION].remedy
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """What an answer with one of `statuses` means, `http_<status>` being its code.

    core/outcome says which class it is of, the same for all statuses of a row.
    """

    name: str
    statuses: frozenset[int]
    meaning: str
    remedy: str


_ASKING_FOR_ANOTHER: Final = frozenset({408, 425, 429})

STATUSES: Final = (
    StatusRow(
        name="`http_1xx`",
        statuses=frozenset({101}),
        meaning="101 ends the exchange with another protocol; other 1xx are passed over, the answer follows them",
        remedy="see what answers there: no call asks for an upgrade",
    ),
    StatusRow(
        name="`http_3xx`",
        statuses=frozenset(range(300, 400)),
        meaning="a redirect; none is followed",
        remedy="put the address it names into `endpoint`; a redirect to a login page means missing credentials",
    ),
    StatusRow(
        name="`http_408`, `http_425`, `http_429`",
        statuses=_ASKING_FOR_ANOTHER,
        meaning="the endpoint asks for the same later",
        remedy="none if rare; 429: lower the task's rate, docs/scheduling.md",
    ),
    StatusRow(
        name="every other `http_4xx`",
        statuses=frozenset(range(400, 500)) - _ASKING_FOR_ANOTHER,
        meaning="the endpoint says that the request is wrong",
        remedy="401, 403: credentials; 404, 410: `endpoint`, or a user it does not know; 413: the payload; then replay",
    ),
    StatusRow(
        name="`http_5xx`",
        statuses=frozenset(range(500, 600)),
        meaning="the endpoint, or a proxy before it, has failed",
        remedy="see the endpoint's log; 501, 505: `method` or `endpoint`; replay what ended meanwhile",
    ),
)
