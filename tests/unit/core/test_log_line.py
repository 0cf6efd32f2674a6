from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.log_line import MAX_MESSAGE_BYTES, Level, LogLine, fitting
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, texts


@given(level=st.sampled_from(Level), message=texts)
def test_what_is_written_is_read_again(level: Level, message: str) -> None:
    line = LogLine(timestamp=TEN_O_CLOCK, level=level, message=message)

    assert line.to_json().isascii()
    assert LogLine.from_json(line.to_json().encode()) == line


def test_a_line_has_the_fields_of_the_api() -> None:
    line = LogLine(timestamp=TEN_O_CLOCK, level=Level.INFO, message="12 reports")

    assert line.as_dict() == {"timestamp": "2024-01-15T10:00:00Z", "level": "INFO", "message": "12 reports"}


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"1", b'{"timestamp":"now","level":"INFO","message":""}'])
def test_what_another_hand_wrote_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValueError, match="something else wrote it"):
        LogLine.from_json(text)


@given(st.text(max_size=100))
def test_a_message_that_fits_stays_as_it_is_but_for_lone_surrogates(message: str) -> None:
    assert fitting(message) == message.encode(errors="replace").decode()


@given(st.text("aä€😀", min_size=MAX_MESSAGE_BYTES, max_size=MAX_MESSAGE_BYTES + 10), st.integers(0, 3))
def test_a_message_that_is_too_long_is_cut_between_characters_and_says_so(message: str, shift: int) -> None:
    cut = fitting("x" * shift + message + "x")

    assert len(cut.encode()) <= MAX_MESSAGE_BYTES
    assert cut.endswith(" [cut]")
    assert ("x" * shift + message).startswith(cut.removesuffix(" [cut]"))
