"""docs/doctor.md has every check of `taskqueue doctor`, in the words that the command itself uses."""

from __future__ import annotations

from pathlib import Path

from taskqueue.core.doctor import CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_the_page_has_every_check_with_its_remedy_and_no_other() -> None:
    table = PAGE.partition("\n## The checks\n")[2].partition("\n#")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    assert rows == [f"| `{check.id}` | {check.asks} | {check.remedy} |" for check in CHECKS]
