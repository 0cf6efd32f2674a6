from __future__ import annotations

import pytest

from taskqueue.cli.confirm import agreed
from taskqueue.errors import RefusedError
from tests.support.terminal import at_terminal

#: asks at a real terminal and tells the answer
PROGRAM = "from taskqueue.cli.confirm import agreed; print('agreed:', agreed('drop 3 messages', yes=False))"


def test_yes_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert agreed("drop 3 messages", yes=True)
    assert capsys.readouterr() == ("", "")


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert not agreed("revoke token \x1b[2J", yes=True, dry_run=True)
    assert capsys.readouterr() == ("would revoke token \\x1b[2J\n", "")


def test_with_nobody_to_ask_it_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"drop 3 messages: nobody to ask; add --yes, or --dry-run"):
        agreed("drop 3 messages", yes=False)


@pytest.mark.parametrize(("typed", "answer"), [("y\n", "True"), ("n\n", "False"), ("\n", "False")])
def test_a_person_at_a_terminal_is_asked(typed: str, answer: str) -> None:
    ended = at_terminal(columns=40, program=("-c", PROGRAM), answers=[("drop 3 messages? [y/N]", typed)])

    assert ended.lines[-2].strip() == f"agreed: {answer}"
