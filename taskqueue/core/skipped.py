"""Instants of a cohort that were left out or passed over, as it is kept for a week for whoever asks why nothing ran."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedInstants:
    """The instants from `first` to before `until`; `reason` is that of the event `occurrence_skipped`."""

    first: datetime
    until: datetime
    reason: str
    noted_at: datetime

    def covers(self, instant: datetime) -> bool:
        """Return whether `instant` is one of them."""
        return self.first <= instant < self.until

    def to_json(self) -> str:
        """Return them as JSON in ASCII; equal ones give equal texts."""
        document = {
            "first": to_unix_ms(self.first),
            "until": to_unix_ms(self.until),
            "reason": self.reason,
            "noted_at": to_unix_ms(self.noted_at),
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes) -> SkippedInstants:
        """Return what `to_json` has written. Raises InvalidValueError for anything else."""
        try:
            document = json.loads(text)
            return cls(
                first=from_unix_ms(int(document["first"])),
                until=from_unix_ms(int(document["until"])),
                reason=str(document["reason"]),
                noted_at=from_unix_ms(int(document["noted_at"])),
            )
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError):
            raise InvalidValueError("skipped instants that cannot be read: something else wrote them") from None
