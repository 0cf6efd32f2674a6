"""What came back from one attempt, and which class of answer that is.

Retryable are: failures to connect or to finish, 408, 425, 429 and every 5xx. 2xx is success. Every other status says
that the request itself is wrong, and sending it again would not help. X-TaskQueue-Retry: no says so beside any status.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from taskqueue.core.error_codes import ErrorCode
from taskqueue.core.value import value

#: statuses below 500 that ask for another try: Request Timeout, Too Early (RFC 8470), Too Many Requests (RFC 6585)
RETRYABLE_STATUSES = frozenset({408, 425, 429})


class OutcomeClass(StrEnum):
    """What an attempt means for the job."""

    SUCCESS = "success"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    #: the job was cancelled while it ran, and the call cut
    CANCELLED = "cancelled"


#: for what happens with each job: before Python 3.12 `OutcomeClass.SUCCESS` is a function call, dearer than most
SUCCESS = OutcomeClass.SUCCESS


@value
class Outcome:
    """One attempt's outcome. `code` and `message` are those of the spec's ErrorDetail, empty on success."""

    kind: OutcomeClass
    status: int | None = None
    code: str = ""
    message: str = ""
    #: how long the endpoint asked us to wait
    retry_after: timedelta | None = None
    #: the request may have had its effect although no usable answer came
    effect_unknown: bool = False


def outcome_of_status(status: int, retry_after: timedelta | None = None, *, final: bool = False) -> Outcome:
    """Return the outcome of an HTTP answer with `status` (100 to 599); `final`: the endpoint wants no other attempt."""
    if 200 <= status < 300:
        return Outcome(kind=SUCCESS, status=status)
    retryable = (status in RETRYABLE_STATUSES or status >= 500) and not final
    return Outcome(
        kind=OutcomeClass.RETRYABLE if retryable else OutcomeClass.PERMANENT,
        status=status,
        code=f"http_{status}",
        message=f"the endpoint answered {status}" + (" and wants no retry" if final else ""),
        retry_after=retry_after,
    )


def outcome_of_failure(code: ErrorCode, message: str, *, effect_unknown: bool) -> Outcome:
    """Return the outcome of an attempt without an answer: it is tried again, unless the task forbids it."""
    return Outcome(kind=OutcomeClass.RETRYABLE, code=str(code), message=message, effect_unknown=effect_unknown)


def permanent_failure(code: ErrorCode, message: str) -> Outcome:
    """Return the outcome of a call that could not even be built, so that trying again cannot help."""
    return Outcome(kind=OutcomeClass.PERMANENT, code=str(code), message=message)


def forbids_retry(value: str | None) -> bool:
    """Say whether a header X-TaskQueue-Retry, None where there is none, asks for no other attempt: by `no` alone."""
    return value is not None and value.strip().lower() == "no"


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a Retry-After header asks for, in either form of RFC 9110 section 10.2.3.

    None where there is none or it cannot be read; never negative.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # 18 digits of seconds would overflow timedelta; a century is far beyond any cap the caller applies.
        return timedelta(seconds=min(int(text[:12]), 36525 * 86400))
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(instant - now, timedelta(0))
