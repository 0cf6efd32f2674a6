"""What was seen at each kill point, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.ledger import Verdict


@dataclass(slots=True, kw_only=True)
class Row:
    """One kill point: crashes, seconds from each to the next leader and to the end of the work, and the verdict."""

    takeovers_s: list[float] = field(default_factory=list)
    done_s: list[float] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    #: what kept the point from being judged; empty when it was
    error: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict.clean and not self.error


@dataclass(slots=True)
class KillTable:
    """Rows by the name of the point."""

    rows: dict[str, Row] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """Return the row of that point."""
        return self.rows.setdefault(name, Row())

    def lines(self) -> Iterable[str]:
        """Return the table; nothing where nobody was killed."""
        if not self.rows:
            return []
        head = f"{'killed …':<66}{'kills':>6}{'lost':>6}{'twice':>6}{'other':>6}{'takeover s':>12}{'all done s':>12}"
        return [head, *(_line(name, row) for name, row in self.rows.items())]


def _line(name: str, row: Row) -> str:
    verdict = row.verdict
    counts = f"{len(verdict.lost):>6}{len(verdict.twice):>6}{len(verdict.unexpected):>6}"
    slowest = f"{max(row.takeovers_s, default=0):>12.1f}{max(row.done_s, default=0):>12.1f}"
    return f"{name:<66}{len(row.takeovers_s):>6}{counts}{slowest}  {row.error[:200]}".rstrip()
