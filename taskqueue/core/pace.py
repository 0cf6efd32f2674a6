"""The pace of a limit, as the release keeps it: how many jobs may go out now, and how many may be due at a later time.

Whoever releases a job now takes a token from a bucket that fills at `rate` and holds `burst` (a token bucket: RFC 2697,
section 3, calls them committed information rate and burst size). Whoever puts a job into the delayed queue reserves a
place in the quarter of a second in which it will be due; when that time comes, the reserved places have taken their
tokens. Jobs that leave ahead of time therefore never use up what those need that are due now.
"""

from __future__ import annotations

from math import floor, inf, isfinite

from taskqueue.errors import InvalidValueError

#: length in seconds of the bins in which places are reserved
BIN_S = 0.25

#: a clock that goes back by more than this was set back; lua/rate_limit.lua says the same of the buckets
SET_BACK_S = 5.0


class Pace:
    """Room under one limit of `rate` jobs per second and `burst` jobs at once. Times are unix seconds.

    Over any span of t seconds, no more than burst + rate·t jobs are let through, one bin's rounding aside. A new one
    holds one token: what went out before it was known may have used up the others. A clock that goes back a little
    finds the room of the latest time seen; one that was set back goes on from there. Raises InvalidValueError unless
    the rate is above 0 and the burst at least 1.
    """

    __slots__ = ("_at", "_begun", "_level", "_reserved", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        if not (isfinite(rate) and rate > 0 and isfinite(burst) and burst >= 1):
            raise InvalidValueError(
                f"limit of {rate} jobs per second, {burst} at once: use more than 0, and at least 1"
            )
        self.rate = rate
        self.burst = burst
        self._level = 1.0
        self._at = -inf
        #: places reserved by bin, and the last bin whose places have taken their tokens
        self._reserved: dict[int, int] = {}
        self._begun = -inf

    def room(self, now: float) -> int:
        """Return how many jobs may go out now."""
        self._advance(now)
        # Unix seconds as a float are good to a quarter of a microsecond; that much may not cost a whole token.
        return max(0, floor(self._level + 1e-4))

    def take(self, now: float, count: int = 1) -> None:
        """Let `count` jobs go out now; ask for `room` first."""
        self._advance(now)
        self._level -= count

    def may_reserve(self, due: float) -> bool:
        """Return whether one more job may be due at `due`, which lies ahead."""
        number = floor(due / BIN_S)
        capacity = floor(self.rate * BIN_S * (number + 1)) - floor(self.rate * BIN_S * number)
        return self._reserved.get(number, 0) < capacity

    def reserve(self, due: float) -> None:
        """Let one job be due then; ask `may_reserve` first."""
        number = floor(due / BIN_S)
        self._reserved[number] = self._reserved.get(number, 0) + 1
        if number <= self._begun:
            self._level -= 1

    def give_back(self, due: float | None) -> None:
        """Take back the job that was let out last, or the place that was reserved for `due`: nothing went out."""
        if due is not None:
            number = floor(due / BIN_S)
            self._reserved[number] = max(0, self._reserved.get(number, 0) - 1)
            if number > self._begun:
                return
        self._level = min(self.burst, self._level + 1)

    def _advance(self, now: float) -> None:
        if self._at - now > SET_BACK_S:
            self._set_back(now)
        current = floor(now / BIN_S)
        if current > self._begun:
            for number in sorted(number for number in self._reserved if self._begun < number <= current):
                self._refill(number * BIN_S)
                self._level -= self._reserved[number]
            self._begun = current
            for number in [number for number in self._reserved if number < current]:
                del self._reserved[number]
        self._refill(now)

    def _set_back(self, now: float) -> None:
        # What is in the delayed queue comes out as soon as it would have: it does not look at this clock.
        bins = round((self._at - now) / BIN_S)
        self._reserved = {number - bins: count for number, count in self._reserved.items()}
        self._begun -= bins
        self._at = now

    def _refill(self, until: float) -> None:
        if until > self._at:
            if self._at > -inf:
                self._level = min(self.burst, self._level + (until - self._at) * self.rate)
            self._at = until
