"""Telling of preferences that are none: one by one, but no flood when another system writes them for everybody."""

from __future__ import annotations

from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import PreferenceIgnored, PreferencesIgnored

#: told one by one in so many seconds; behind them only their number is
_MOST_TOLD = 100
_WINDOW_S = 60.0


class IgnoredPreferences:
    """Tells what was ignored. `now` of its methods is any clock that only goes forward, in seconds."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._window_ends = 0.0
        self._told = 0
        self._untold = 0

    def tell(self, user_id: str, error: str, now: float) -> None:
        """Tell of one, or count it."""
        self.tell_rest(now)
        if self._told < _MOST_TOLD:
            self._told += 1
            self._emit(PreferenceIgnored(user_id=user_id, error=error))
        else:
            self._untold += 1

    def tell_rest(self, now: float) -> None:
        """Tell how many were counted alone, once their time is over."""
        if now < self._window_ends:
            return
        if self._untold:
            self._emit(PreferencesIgnored(count=self._untold))
        self._window_ends, self._told, self._untold = now + _WINDOW_S, 0, 0
