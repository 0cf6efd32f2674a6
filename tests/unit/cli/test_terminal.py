from __future__ import annotations

import pytest
from hypothesis import given

from taskqueue.cli.terminal import printable
from tests.support.values import texts


@pytest.mark.parametrize("text", ["", "user_1", "a:b", "日本 🦊", "two words"])
def test_text_that_a_terminal_only_shows_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", r"\x1b[2J"), ("a\nb", r"a\nb"), ("\x9b", r"\x9b"), ("\u202eabc", r"\u202eabc"), ("\x00é", r"\x00é")],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(texts)
def test_what_is_shown_is_always_printable(text: str) -> None:
    assert printable(text).isprintable()
