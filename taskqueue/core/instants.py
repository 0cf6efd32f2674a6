"""Instants as text and numbers: RFC 3339 for messages and people, unix milliseconds for Redis scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from taskqueue.errors import InvalidValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

#: no system writes a time that is longer; Go's longest has 35
_MOST_CHARS = 64


def rfc3339(instant: datetime) -> str:
    """Return `instant` in UTC as RFC 3339 with `Z`; microseconds only where there are any."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat()[: -len("+00:00")] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Return the instant that `text` names, in UTC.

    Accepts what Go's time.Time writes (up to nine fraction digits, any offset). Raises InvalidValueError.
    """
    if len(text) > _MOST_CHARS:
        raise _no_time(text)  # what is kept below stays small
    return _parsed(text)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> datetime:
    # All jobs of an occurrence name the same instants.
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise _no_time(text) from None
    if instant.tzinfo is None:
        raise InvalidValueError(
            f"time {text[:40]!r}: the zone is missing; end it with Z for UTC, such as 2024-01-15T10:00:00Z"
        )
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidValueError(f"time {text[:40]!r}: out of range") from None


def _no_time(text: str) -> InvalidValueError:
    return InvalidValueError(f"time {text[:40]!r}: use RFC 3339, such as 2024-01-15T10:00:00Z")


def to_unix_ms(instant: datetime) -> int:
    """Return `instant` as whole unix milliseconds, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_unix_ms(milliseconds: int) -> datetime:
    """Return the instant `milliseconds` after 1970-01-01T00:00:00Z."""
    return _EPOCH + milliseconds * _MILLISECOND
