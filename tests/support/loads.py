"""A day's load, for tests of what is made of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskqueue.core.forecast import Load
from taskqueue.core.slots import Spread

AT = datetime(2026, 3, 2, tzinfo=UTC)


def load_of(*occurrences: tuple[timedelta, timedelta, int]) -> Load:
    """Return the load from AT on of occurrences: how long after AT each begins, its window, and its users."""
    load = Load(begins=AT)
    for after, window, users in occurrences:
        load.add(AT + after, Spread(window=window, users=users))
    return load
