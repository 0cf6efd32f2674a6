"""The kinds of keys that must end are those of which docs/redis.md says when they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskqueue.store.examination import kind_of

DOCUMENT = (Path(__file__).parents[3] / "docs" / "redis.md").read_text(encoding="utf-8")

#: beginnings of what the column "ends" says of keys that have no TTL as long as they are in use
_STAYS = (
    *("never", "entry by entry; the key with", "with the task", "with the last job of each", "the last 10,000"),
    *("7 days after the task", "90 days after it was revoked", "a removed task after 45 days"),
)

_ROWS = [
    (key, cells[2])
    for line in DOCUMENT.splitlines()
    if line.startswith("| `taskqueue:")
    for cells in [[cell.strip() for cell in line.strip("|").split(" | ")[1:]]]
    for key in [line.split("`")[1]]
    if len(cells) == 4
]


def test_the_document_was_read() -> None:
    assert len(_ROWS) > 50


@pytest.mark.parametrize(("key", "ends"), _ROWS)
def test_a_key_that_has_an_end_in_the_document_must_have_one(key: str, ends: str) -> None:
    example = re.sub(r"\{[a-z_]*number\}", "7", re.sub(r"\{(?![a-z_]*number)[^}]*\}", "x", key))

    must_end = kind_of(example.encode()) is not None

    assert must_end is not (ends == "entry by entry" or ends.startswith(_STAYS)), ends
