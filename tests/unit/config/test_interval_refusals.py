"""What is wrong with an interval is told where it stands, with the way to what was meant, whoever wrote it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from taskqueue.api.schemas_tasks import CreateTask
from taskqueue.config.catalog import parse_catalog, read_custom_interval
from taskqueue.config.models import CronEntry, DailyEntry, HourlyEntry, MonthlyEntry, WeeklyEntry
from taskqueue.core.interval import FOREIGN_KEYS
from taskqueue.errors import ConfigError

ENTRIES = {
    "hourly": HourlyEntry,
    "daily": DailyEntry,
    "weekly": WeeklyEntry,
    "monthly": MonthlyEntry,
    "cron": CronEntry,
}
KINDS_AND_KEYS = [(kind, key) for kind, texts in FOREIGN_KEYS.items() for key in texts]


def interval_with(kind: str, key: str) -> dict[str, object]:
    return {"type": kind, key: 1} | ({"cron": "0 9 * * *"} if kind == "cron" else {})


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_catalog(text, "tasks.yaml")
    return caught.value.problems


def problem_in_a_file(interval: dict[str, object]) -> str:
    task = {"id": "a", "interval": interval, "config": {"endpoint": "https://h/a"}}
    (problem,) = problems_of(json.dumps({"tasks": [task]}) + "\n")
    return problem


def problem_in_the_api(interval: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        CreateTask.model_validate({"task_name": "a", "task_type": "interval", "interval": interval})
    (detail,) = caught.value.errors()
    return str(detail["ctx"]["error"])


@pytest.mark.parametrize(
    ("interval", "problem"),
    [
        ("daily", "3:15: tasks[0].interval: must be a mapping, not text; write one, such as"),
        ("'0 8 * * *'", "3:15: tasks[0].interval: must be a mapping, not text; write one, such as {type: daily,"),
        ("", "3:14: tasks[0].interval: is empty; give one, such as {type: daily,"),
        ("{value: 2}", "3:15: tasks[0].interval.type: is missing;"),
        ("{type: daily, value: 0}", "3:36: tasks[0].interval.value: cannot be 0; use at least 1"),
        ("{type: daily, value: 9999}", "3:36: tasks[0].interval.value: cannot be 9999; use at most 3650"),
        ("{type: hourly, value: 0}", "3:37: tasks[0].interval.value: cannot be 0; use at least 1"),
        ("{type: hourly, at_time: '08:00'}", "3:30: tasks[0].interval.at_time: hourly runs at full hours; leave it"),
        ("{type: monthly, day: 32}", "3:36: tasks[0].interval.day: not a day of the month"),
        ("{type: monthly, day: true}", "3:36: tasks[0].interval.day: not a day of the month"),
        (
            "{type: monthly, day: '15'}",
            "3:36: tasks[0].interval.day: not a day of the month; use 1 to 31 without quotes",
        ),
        ("{cron: '* * * *'}", "3:22: tasks[0].interval.cron: cron '* * * *': 4 fields"),
        (
            "{type: daily, cron: '@daily'}",
            "3:22: tasks[0].interval.type: cannot be 'daily' where a cron expression stands; leave one of them out",
        ),
        ("{type: daily, dst: {gap: leap}}", "3:40: tasks[0].interval.dst.gap: cannot be 'leap'"),
        ("{type: daily, dst: skip}", "3:34: tasks[0].interval.dst: must be a mapping, not text"),
        ("{type: daily, dst: {fold: first, gab: skip}}", "3:48: tasks[0].interval.dst.gab: unknown key 'gab'; did you"),
        ("{type: hourly, dst: {gap: skip}}", "3:30: tasks[0].interval.dst: hourly has no fixed time"),
        ("{cron: '*/5 * * * *', dst: {gap: skip}}", "3:15: tasks[0].interval: dst: cron '*/5 * * * *' follows real"),
        ("{type: once, at: 2030-01-01T00:00:00Z}", "3:22: tasks[0].interval.type: unknown type 'once'; tasks that run"),
        ("{type: Minutely}", "3:22: tasks[0].interval.type: unknown type 'Minutely'; use cron, such as"),
        ("{Type: daily}", "3:16: tasks[0].interval.Type: unknown key 'Type'; did you mean 'type'?"),
        ("{Types: daily}", "3:16: tasks[0].interval.Types: unknown key 'Types'; did you mean 'type'?"),
        ("{time: '08:00'}", "3:15: tasks[0].interval.type: is missing; add it, with hourly, daily"),
        ("{CRON: '@daily'}", "3:16: tasks[0].interval.CRON: unknown key 'CRON'; did you mean 'cron'?"),
        (
            "{type: daily, value: '2'}",
            "3:36: tasks[0].interval.value: must be a whole number, not '2'; write it without",
        ),
        ("{type: daily, gap: skip}", "3:29: tasks[0].interval.gap: unknown key 'gap' here; it belongs into dst"),
        ("{type: daily, retries: 3}", "3:29: tasks[0].interval.retries: unknown key 'retries' here; it belongs beside"),
        (
            "{cron: 0 9 * * mon,wed}",
            "3:34: tasks[0].interval.wed: unknown key 'wed'; known here: cron, dst, timezone, ",
        ),
        ("{type: null}", "3:22: tasks[0].interval.type: is empty; give hourly, daily"),
        ("{type: weekly, weekday: [monday, friday]}", "3:39: tasks[0].interval.weekday: must be one, not a list; use"),
        ("{type: monthly, day: [1, 15]}", "3:36: tasks[0].interval.day: must be one, not a list; use a cron"),
        ("{type: daily, at_time: [08:00]}", "3:38: tasks[0].interval.at_time: must be one, not a list; use a cron"),
    ],
)
def test_a_wrong_interval_is_explained_where_it_stands(interval: str, problem: str) -> None:
    (line,) = problems_of(f"tasks:\n  - id: a\n    interval: {interval}\n    config: {{endpoint: 'https://h/a'}}\n")
    assert line.startswith(f"tasks.yaml:{problem}")


def test_each_type_says_something_of_each_key_that_only_other_types_have() -> None:
    keys = {kind: entry.model_fields.keys() for kind, entry in ENTRIES.items()}
    every = set[str]().union(*keys.values()) - {"cron"}  # with a `cron` it is another type
    assert {kind: set(texts) for kind, texts in FOREIGN_KEYS.items()} == {kind: every - keys[kind] for kind in keys}


@pytest.mark.parametrize(("kind", "key"), KINDS_AND_KEYS)
def test_in_the_file_it_is_told_at_the_key(kind: str, key: str) -> None:
    interval = interval_with(kind, key)
    column = len('{"tasks": [{"id": "a", "interval": ' + json.dumps(interval).partition(f'"{key}"')[0]) + 1
    expected = f"tasks.yaml:1:{column}: tasks[0].interval.{key}: {FOREIGN_KEYS[kind][key]}"
    assert problem_in_a_file(interval) == expected


@pytest.mark.parametrize(("kind", "key"), KINDS_AND_KEYS)
def test_a_users_own_interval_is_told_the_same(kind: str, key: str) -> None:
    assert read_custom_interval(json.dumps(interval_with(kind, key))) == f"interval.{key}: {FOREIGN_KEYS[kind][key]}"


@pytest.mark.parametrize(("kind", "key"), KINDS_AND_KEYS)
def test_an_interval_of_the_api_is_told_the_same(kind: str, key: str) -> None:
    assert problem_in_the_api(interval_with(kind, key)) == f"{key}: {FOREIGN_KEYS[kind][key]}"


@pytest.mark.parametrize(
    ("interval", "problem"),
    [
        ({"type": "monthly", "value": 121}, "value: cannot be 121; use at most 120"),
        ({"type": "hourly", "value": 8761}, "value: cannot be 8761; use at most 8760"),
        (
            {"type": "daily", "timezone": "Factory"},
            "timezone: timezone 'Factory': unknown, for it says that no zone is set; "
            "use an IANA name, such as UTC or America/New_York",
        ),
    ],
)
def test_a_value_that_is_none_is_told_the_same_by_all_roads(interval: dict[str, object], problem: str) -> None:
    assert problem_in_a_file(interval).endswith(f": tasks[0].interval.{problem}")
    assert read_custom_interval(json.dumps(interval)) == f"interval.{problem}"
    assert problem_in_the_api(interval) == problem


@pytest.mark.parametrize(
    ("kind", "given", "key"),
    [
        ("hourly", "atTime", "at_time"),
        ("monthly", "weekDay", "weekday"),
        ("daily", "Weekday", "weekday"),
        ("weekly", "days", "day"),
    ],
)
def test_one_that_is_misspelt_as_well_is_told_as_what_it_is_nearest_to(kind: str, given: str, key: str) -> None:
    problem = problem_in_a_file(interval_with(kind, given))
    assert problem.endswith(f"interval.{given}: unknown key {given!r}, for {key!r}: {FOREIGN_KEYS[kind][key]}")


def test_a_key_of_its_own_that_is_misspelt_is_still_named() -> None:
    assert problem_in_a_file({"type": "monthly", "dai": 3}).endswith("unknown key 'dai'; did you mean 'day'?")
    assert problem_in_a_file({"type": "weekly", "week_day": 3}).endswith("did you mean 'weekday'?")


def test_what_is_wrong_besides_is_told_beside_it() -> None:
    problems = problems_of("tasks:\n  - id: a\n    interval: {type: hourly, dst: {gap: skip}, value: 9999}\n")
    assert [problem.split(": ")[1] for problem in problems] == [
        "tasks[0].config",
        "tasks[0].interval.dst",
        "tasks[0].interval.value",
    ]
