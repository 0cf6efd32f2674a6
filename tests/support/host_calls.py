"""Calls to a host with an adaptive limit, without a network."""

from __future__ import annotations

from taskqueue.core.host_limit import (
    HostLimit,
    HostReport,
    Sign,
)

#: a Sunday in 2026, in unix seconds
NOW = 1_795_300_000.0

REPORT = HostReport(limit=1, in_flight=0, closed_until=None, since=NOW)


def limited(ceiling: int = 16) -> HostLimit:
    """Return a limit that was made just now."""
    return HostLimit(ceiling, NOW)


def closed(ceiling: int = 16) -> HostLimit:
    """Return the limit of a host that is closed until NOW + 1."""
    limit = limited(ceiling)
    limit.learn(Sign.TOO_MUCH, NOW, asked_s=1, jitter=0)
    return limit


def call(limit: HostLimit, sign: Sign, now: float, *, asked_s: float | None = None, jitter: float = 0) -> None:
    """Make a call that meets `sign`."""
    assert limit.wait(now) == 0
    began = limit.begin()
    limit.end(began)
    limit.learn(sign, now, began=began, asked_s=asked_s, jitter=jitter)
