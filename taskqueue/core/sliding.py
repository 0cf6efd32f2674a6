"""What happened lately, in bounded memory: counts and histograms over a window that moves in slices.

`now` is seconds of a clock that never goes back. What happens in the slice that has begun counts at once; what is older
than the window is forgotten slice by slice.
"""

from __future__ import annotations

import math

from taskqueue.core.histogram import Histogram


class SlidingCount:
    """How often something happened during the last `window_s` seconds, to a hundredth of the window."""

    SLICES = 100

    def __init__(self, window_s: float) -> None:
        self._slice_s = window_s / self.SLICES
        self._numbers = [-1] * self.SLICES
        self._counts = [0] * self.SLICES
        #: of the present slice
        self._place, self._ends_at = 0, -math.inf

    def add(self, now: float) -> None:
        """Count one more."""
        if now >= self._ends_at:
            self._turn(now)
        self._counts[self._place] += 1

    def count(self, now: float) -> int:
        """Return how many there were."""
        oldest = int(now / self._slice_s) - self.SLICES + 1
        return sum(count for number, count in zip(self._numbers, self._counts, strict=True) if number >= oldest)

    def covered_s(self, now: float) -> float:
        """Return the seconds that `count` is about: the window, less what of the present slice is still to come."""
        return now - (int(now / self._slice_s) - self.SLICES + 1) * self._slice_s

    def _turn(self, now: float) -> None:
        number = int(now / self._slice_s)
        self._place, self._ends_at = number % self.SLICES, (number + 1) * self._slice_s
        if self._numbers[self._place] != number:
            self._numbers[self._place] = number
            self._counts[self._place] = 0


class SlidingHistogram:
    """The values observed during the last `window_s` seconds, and up to a fifth of that more."""

    SLICES = 6

    def __init__(self, window_s: float) -> None:
        self._slice_s = window_s / (self.SLICES - 1)
        self._numbers = [-1] * self.SLICES
        self._slices = [Histogram() for _ in range(self.SLICES)]
        #: of the present slice
        self._present, self._ends_at = self._slices[0], -math.inf

    def observe(self, now: float, value: float) -> None:
        """Count one value."""
        if now >= self._ends_at:
            self._turn(now)
        self._present.observe(value)

    def recent(self, now: float) -> Histogram:
        """Return the histogram of all of them."""
        oldest = int(now / self._slice_s) - self.SLICES + 1
        return Histogram.together(
            part for number, part in zip(self._numbers, self._slices, strict=True) if number >= oldest
        )

    def _turn(self, now: float) -> None:
        number = int(now / self._slice_s)
        place = number % self.SLICES
        if self._numbers[place] != number:
            self._numbers[place] = number
            self._slices[place] = Histogram()
        self._present, self._ends_at = self._slices[place], (number + 1) * self._slice_s
