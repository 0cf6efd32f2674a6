"""A Dockerfile, read: the instructions that ours uses, and an error for any other."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line: `COPY`, and what stands behind it."""

    word: str
    text: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """One FROM and what follows."""

    base: str
    name: str
    steps: list[Instruction] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        """Return the text of the last instruction of that kind."""
        return next((step.text for step in reversed(self.steps) if step.word == word), None)

    def exec_form(self, word: str) -> list[str]:
        """Return the words of an ENTRYPOINT, CMD or HEALTHCHECK; fails where it is in the shell's form."""
        text = self.last(word)
        assert text is not None, f"there is no {word}"
        words = json.loads(text[text.index("[") :])
        assert all(isinstance(each, str) for each in words)
        return list(words)


def read_dockerfile(path: Path) -> list[Stage]:
    """Return the stages; arguments of the build have their defaults."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        word, _, rest = line.partition(" ")
        for name, value in arguments.items():
            rest = rest.replace(f"${{{name}}}", value)
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base=base, name=name))
        else:
            stages[-1].steps.append(Instruction(word, rest.strip()))
    return stages


def assignments(text: str) -> dict[str, str]:
    """Return what an ENV or LABEL sets."""
    return dict(each.split("=", 1) for each in shlex.split(text))
