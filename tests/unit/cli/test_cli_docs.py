"""docs/cli.md against the command itself: every verb and option is there, and none that does not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from taskqueue.cli.exit_codes import ExitCode
from tests.support.command_tree import options, verbs

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "cli.md").read_text("utf-8")

_LONG_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def sections() -> dict[str, str]:
    """Return the text about each verb by its words."""
    pieces = re.split(r"^### `taskqueue ([a-z ]+?)(?: [A-Z][^`]*)?`$", TEXT, flags=re.MULTILINE)
    return {
        words: re.split(r"^## ", text, flags=re.MULTILINE)[0]
        for words, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def examples(text: str) -> list[list[str]]:
    """Return the words behind `taskqueue` of each example in code blocks."""
    lines = re.findall(r"^    (?:\$ )?(?:[a-z_]+ \| )?taskqueue ([^|>\n]*)", text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_every_verb_has_a_section_and_no_other_has() -> None:
    assert set(sections()) == set(verbs())


@pytest.mark.parametrize("words", sorted(verbs()))
def test_the_section_of_a_verb_names_its_options_and_no_other(words: str) -> None:
    own = {name for name in options(verbs()[words]) if name.startswith("--")}

    assert set(_LONG_OPTION.findall(sections()[words])) == own


@pytest.mark.parametrize("words", sorted(verbs()))
def test_the_section_of_a_verb_has_an_example_of_it_that_is_understood(words: str) -> None:
    own = [example for example in examples(sections()[words]) if example[: len(words.split())] == words.split()]

    assert own != []
    for example in own:
        verbs()[words].make_context(f"taskqueue {words}", example[len(words.split()) :])


def test_what_the_config_of_each_verb_names_is_what_its_help_says() -> None:
    rows = re.findall(r"^\| (R[^|]*) \| (`[^|]*`) \|$", TEXT, re.MULTILINE)
    told = {words: names for names, cell in rows for words in re.findall(r"`([^`]+)`", cell)}
    helps = {words: each.help for words, verb in verbs().items() for each in verb.params if "--config" in each.opts}
    named = {words: found[1] for words, text in helps.items() if (found := re.match(r"Names (.*), with the ", text))}

    assert told == named


def test_every_exit_code_is_explained() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)] == list(ExitCode)
