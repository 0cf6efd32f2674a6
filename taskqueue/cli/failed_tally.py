"""What became of the messages of a replay."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskqueue.store.replays import ReplayOutcome

#: what a failed job's message is there for no longer
SETTLED = frozenset({ReplayOutcome.REPLAYED, ReplayOutcome.BEFORE, ReplayOutcome.SUCCEEDED})

#: damaged keys that the last line names
_NAMED_KEYS = 3

_LEFT = {
    ReplayOutcome.ENDED: "over since in another way",
    ReplayOutcome.UNSETTLED: "not put away to the end by their worker; try again half an hour after they failed",
    ReplayOutcome.CANCELLED: "cancelled",
    ReplayOutcome.WAITING: "waiting to be run already",
    ReplayOutcome.RUNNING: "running",
}


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the messages, by outcome; `unreadable` are no jobs. `damaged`: by what their job's key says."""

    outcomes: Counter[ReplayOutcome] = field(default_factory=Counter)
    unreadable: int = 0
    damaged: Counter[str] = field(default_factory=Counter)

    @property
    def settled(self) -> int:
        """How many are in the queue no longer."""
        return sum(self.outcomes[outcome] for outcome in SETTLED)

    @property
    def left(self) -> int:
        """How many stay in the queue."""
        return self.unreadable + self.damaged.total() + self.outcomes.total() - self.settled

    def __str__(self) -> str:
        """`replayed 3, 1 of them before; taken out 1: succeeded since; left in the queue 2: 1 cancelled, 1 running`."""
        before, succeeded = self.outcomes[ReplayOutcome.BEFORE], self.outcomes[ReplayOutcome.SUCCEEDED]
        text = f"replayed {self.outcomes[ReplayOutcome.REPLAYED] + before}"
        if before:
            text += f", {before} of them before"
        if succeeded:
            text += f"; taken out {succeeded}: succeeded since"
        if not self.left:
            return text
        reasons = [f"{self.outcomes[outcome]} {said}" for outcome, said in _LEFT.items() if self.outcomes[outcome]]
        if self.unreadable:
            reasons.append(f"{self.unreadable} no jobs")
        reasons += [f"{count} with a damaged key: {said}" for said, count in self.damaged.most_common(_NAMED_KEYS)]
        if len(self.damaged) > _NAMED_KEYS:
            reasons.append(f"and {len(self.damaged) - _NAMED_KEYS} more damaged keys")
        return f"{text}; left in the queue {self.left}: {', '.join(reasons)}"

    def as_dict(self) -> dict[str, object]:
        """Return the counts for programs; `left` is by reason."""
        left: dict[str, int] = {outcome.value: self.outcomes[outcome] for outcome in _LEFT if self.outcomes[outcome]}
        return {
            "replayed": self.outcomes[ReplayOutcome.REPLAYED] + self.outcomes[ReplayOutcome.BEFORE],
            "before": self.outcomes[ReplayOutcome.BEFORE],
            "succeeded_since": self.outcomes[ReplayOutcome.SUCCEEDED],
            "left": {**left, "no_job": self.unreadable, "damaged_key": self.damaged.total()},
        }
