from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.skipped import SkippedInstants
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK

HOUR, LEAST = timedelta(hours=1), timedelta(milliseconds=1)
SKIPPED = SkippedInstants(first=TEN_O_CLOCK, until=TEN_O_CLOCK + HOUR, reason="missed", noted_at=TEN_O_CLOCK + HOUR)


@pytest.mark.parametrize(
    ("after", "covered"), [(-LEAST, False), (timedelta(0), True), (HOUR - LEAST, True), (HOUR, False)]
)
def test_the_instants_are_those_from_the_first_to_before_the_end(after: timedelta, covered: bool) -> None:
    assert SKIPPED.covers(TEN_O_CLOCK + after) is covered


def test_they_are_read_back_as_they_were_written() -> None:
    assert SkippedInstants.from_json(SKIPPED.to_json().encode()) == SKIPPED


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"first":"x","until":1,"reason":"a","noted_at":1}', b"\xff"])
def test_what_another_hand_wrote_is_none(text: bytes) -> None:
    with pytest.raises(InvalidValueError):
        SkippedInstants.from_json(text)
