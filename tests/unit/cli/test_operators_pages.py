"""Every command on the pages for operators is one that exists, with options that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.command_tree import verbs
from tests.support.compose import read_compose

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"

_PAGES = ("containers.md", "runbook.md", "operations.md", "failed-jobs.md", "tokens.md")
_IN_TEXT = re.compile(r"`(?:docker compose run --rm (?:-T )?cli|taskqueue) ([a-z][^`…]*)`")
_IN_BLOCK = re.compile(r"^(?:    )?(?:docker compose run --rm (?:-T )?cli|taskqueue) ([^|<>#\n]*)", re.MULTILINE)
_BEHIND_OPTIONS = re.compile(r"^    docker compose run(?: --\S+ \S+| --rm| \\\n| )+?cli (.*)$", re.MULTILINE)


def commands(page: str) -> list[str]:
    """Return what stands behind `taskqueue`, or `cli`, on a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = [line for pattern in (_IN_TEXT, _IN_BLOCK, _BEHIND_OPTIONS) for line in pattern.findall(text)]
    return sorted({" ".join(line.split()) for line in found if "VERB" not in line})


def examples() -> list[tuple[str, str]]:
    return [(page, command) for page in _PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), examples())
def test_the_command_is_understood(page: str, command: str) -> None:
    words = shlex.split(command)
    verb = next((each for each in (" ".join(words[:2]), words[0]) if each in verbs()), None)

    assert verb is not None, "there is no such verb"
    arguments = words[len(verb.split()) :]
    if arguments:  # a verb alone is spoken of; with something behind it, it is to be typed
        verbs()[verb].make_context(f"taskqueue {verb}", arguments)


def test_the_pages_have_commands() -> None:
    assert len(examples()) > 40


def test_the_services_and_files_that_the_page_about_containers_names_exist() -> None:
    text = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    services, document = read_compose(DOCKER / "compose.yaml")

    table = re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE)
    told = re.findall(r"^\| `([a-z.-]+)`(?:, `([a-z.-]+)`(?:, `([a-z.-]+)`)?)? \| ", text, re.MULTILINE)

    assert set(table) == set(services)
    secrets = {name for row in told for name in row if "-" in name}
    assert secrets == {*document["secrets"], "rabbitmq-monitor-password"}
