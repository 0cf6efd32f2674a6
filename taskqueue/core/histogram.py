"""Quantiles in bounded memory: a histogram whose buckets grow by a constant factor.

The quantile of a stream cannot be put together from quantiles or means of its parts, but the counts of such buckets can
be added; and an answer is wrong by half a bucket at most, here 2.5 %, however the values are spread (Masson, Rim and
Lee, "DDSketch", VLDB 2019, without their collapsing: the range is fixed). All values are seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

#: what is below counts as nothing, what is above as this much: a tenth of a millisecond to a day
LEAST_S = 1e-4
MOST_S = 86_400.0

_GROWTH = 1.05
_BUCKETS_PER_E = 1 / math.log(_GROWTH)
_OFFSET = 1 - math.log(LEAST_S) * _BUCKETS_PER_E
#: the first is for what is below LEAST_S
_BUCKETS = int(math.log(MOST_S / LEAST_S) * _BUCKETS_PER_E) + 2


class Histogram:
    """Counts of values, and their largest."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0.0
        #: how many values are in each
        self.buckets = [0] * _BUCKETS

    def observe(self, value: float) -> None:
        """Count one value; a negative one counts as 0."""
        self.count += 1
        self.largest = max(self.largest, value)
        bucket = int(math.log(min(value, MOST_S)) * _BUCKETS_PER_E + _OFFSET) if value >= LEAST_S else 0
        self.buckets[bucket] += 1

    def quantile(self, share: float) -> float | None:
        """Return the value that `share` of all (above 0, at most 1) do not exceed, to 2.5 %; None without any."""
        rank = math.ceil(self.count * share)
        if not rank:
            return None
        bucket = bisect_left(list(accumulate(self.buckets)), rank)
        return min(_middle(bucket), self.largest)

    @classmethod
    def together(cls, parts: Iterable[Histogram]) -> Histogram:
        """Return one histogram of all that `parts` have counted."""
        whole = cls()
        for part in parts:
            whole.count += part.count
            whole.largest = max(whole.largest, part.largest)
            whole.buckets = [ours + theirs for ours, theirs in zip(whole.buckets, part.buckets, strict=True)]
        return whole


def _middle(bucket: int) -> float:
    return LEAST_S * _GROWTH ** (bucket - 0.5) if bucket else 0.0
