"""Every field of tasks.yaml, wrong in every way: refused at its place, by its name, with a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from pydantic import BaseModel

from taskqueue.config.catalog import parse_catalog
from taskqueue.config.models import (
    CronEntry,
    DailyEntry,
    DstEntry,
    HourlyEntry,
    MonthlyEntry,
    TargetEntry,
    TaskEntry,
    WeeklyEntry,
)
from taskqueue.errors import ConfigError
from tests.support.wrong_values import VALUES, says_where_and_what

#: what is right all the same: by field name, those of VALUES that it takes
_TEXTS = {"an empty text", "a blank text"}
RIGHT: dict[str, set[str]] = {
    "name": _TEXTS | {"not a number", "infinity"},
    "description": _TEXTS | {"not a number", "infinity", "a control character", "two lines", "a number of 400 digits"},
    "timeout": {"null"},
    "retries": {"null", "zero"},
    "retry_delay": {"null"},
    "retry_unknown": {"true"},
    "enabled": {"true"},
    "default_enabled": {"true"},
    "distribution_window": {"null"},
    "max_concurrency": {"null"},
    "start_at": {"null"},
    "end_at": {"null"},
    "max_duration": {"null"},
    "headers": {"an empty mapping"},
    "dst": {"an empty mapping"},
    # one word of these characters is an id like any other
    "id": {"not a number", "infinity"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field in a tasks.yaml that is right but for it: its path, and the lines before and behind its own."""

    path: str
    name: str
    before: Sequence[str]
    behind: Sequence[str] = ()
    indent: str = "    "

    def text(self, *own: str) -> str:
        """Return the file with these lines in the field's place."""
        return "\n".join([*self.before, *(self.indent + line for line in own), *self.behind, ""])

    @property
    def line(self) -> int:
        """The field's line, from 1."""
        return len(self.before) + 1

    def place(self, *, of_key: bool = False) -> str:
        """Return where a problem with its value stands, as far as the column of a value on the same line."""
        column = len(self.indent) + 1 + (0 if of_key else len(self.name) + 2)
        return f"tasks.yaml:{self.line}:{column}: "


_INTERVAL = ["    interval: {type: daily}"]
_CONFIG = ["    config: {endpoint: 'https://h/a'}"]
_INTERVALS: dict[type[BaseModel], list[str]] = {
    HourlyEntry: ["      type: hourly"],
    DailyEntry: ["      type: daily"],
    WeeklyEntry: ["      type: weekly"],
    MonthlyEntry: ["      type: monthly"],
    CronEntry: ["      cron: '0 9 * * *'"],
}


def _fields() -> Iterator[Field]:
    yield Field(path="tasks[0].id", name="id", before=["tasks:", "  -"], behind=[*_INTERVAL, *_CONFIG])
    head = ["tasks:", "  - id: a"]
    yield Field(path="tasks[0].interval", name="interval", before=head, behind=_CONFIG)
    yield Field(path="tasks[0].config", name="config", before=[*head, *_INTERVAL])
    for name in TaskEntry.model_fields.keys() - {"id", "interval", "config"}:
        yield Field(path=f"tasks[0].{name}", name=name, before=[*head, *_INTERVAL, *_CONFIG])
    for name in TargetEntry.model_fields:
        rest = [] if name == "endpoint" else ["      endpoint: 'https://h/a'"]
        yield _nested("config", name, [*head, *_INTERVAL, "    config:"], rest)
    for model, lines in _INTERVALS.items():
        for name in model.model_fields.keys() - {"type"}:
            rest = [] if name == "cron" else lines
            yield _nested("interval", name, [*head, *_CONFIG, "    interval:"], rest)
    for name in DstEntry.model_fields:
        field = _nested(
            "interval.dst", name, [*head, *_CONFIG, "    interval:", *_INTERVALS[DailyEntry], "      dst:"], []
        )
        yield replace(field, indent=" " * 8)


def _nested(parent: str, name: str, before: Sequence[str], rest: Sequence[str]) -> Field:
    return Field(path=f"tasks[0].{parent}.{name}", name=name, before=[*before, *rest], indent=" " * 6)


def _label(field: Field) -> str:
    kind = next((line.strip() for line in field.before if line.strip().startswith(("type", "cron"))), "")
    return f"{field.path} {kind}".strip()


FIELDS = {_label(field): field for field in sorted(_fields(), key=_label)}


def _problems(text: str) -> tuple[str, ...]:
    try:
        parse_catalog(text, "tasks.yaml")
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("label", FIELDS)
def test_each_wrong_value_is_refused_where_it_stands_with_a_remedy(label: str) -> None:
    field = FIELDS[label]
    right = RIGHT.get(field.name, set())
    for name in VALUES.keys() - right:
        problems = _problems(field.text(f"{field.name}: {VALUES[name]}"))
        assert problems, f"{label} may be {name}"
        for problem in problems:
            assert says_where_and_what(problem, f"tasks.yaml:{field.line}:", field.path), name


@pytest.mark.parametrize("label", FIELDS)
def test_each_right_value_that_looks_wrong_is_taken(label: str) -> None:
    field = FIELDS[label]
    for name in RIGHT.get(field.name, set()):
        assert _problems(field.text(f"{field.name}: {VALUES[name]}")) == (), name


@pytest.mark.parametrize("label", FIELDS)
def test_a_key_that_stands_twice_is_refused_at_the_second(label: str) -> None:
    field = FIELDS[label]
    (problem,) = _problems(field.text(f"{field.name}: a", f"{field.name}: b"))
    place = replace(field, before=[*field.before, ""]).place(of_key=True)
    assert problem == f"{place}key {field.name!r} stands already in line {field.line}; remove one of them"


@pytest.mark.parametrize("label", FIELDS)
def test_a_key_with_a_typing_mistake_is_refused_and_the_right_one_named(label: str) -> None:
    field = FIELDS[label]
    problems = _problems(field.text(f"{field.name}x: 1"))
    unknown = [
        problem for problem in problems if f"unknown key '{field.name}x'; did you mean '{field.name}'?" in problem
    ]
    assert [problem.startswith(field.place(of_key=True)) for problem in unknown] == [True]
