"""What the documentation says of intervals, against the intervals."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskqueue.config.catalog import parse_catalog, read_custom_interval
from taskqueue.config.user_preference import parameters_of
from taskqueue.core.due import due_instants
from taskqueue.core.task import CatchUp, Interval

DOCS = Path(__file__).parents[3] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
SCHEDULING = (DOCS / "scheduling.md").read_text(encoding="utf-8")

_AT_THE_START = re.compile(r"^\| `(\{.*?\})`", re.MULTILINE)
_AT_THE_END = re.compile(r"`(\{.*?\})` \|$", re.MULTILINE)
_HSET = re.compile(r"^    HSET (.*)$", re.MULTILINE)

#: a Monday
START = datetime(2024, 1, 15, 10, tzinfo=UTC)

#: the intervals of scheduling.md, and when they are due next
INSTANTS = {
    "{type: hourly}": ["01-15 11:00", "01-15 12:00"],
    "{type: hourly, value: 6}": ["01-15 12:00", "01-15 18:00", "01-16 00:00"],
    "{type: hourly, value: 5}": ["01-15 13:00", "01-15 18:00", "01-15 23:00", "01-16 04:00"],
    '{type: daily, at_time: "08:30", timezone: Europe/Paris}': ["01-16 07:30", "01-17 07:30"],
    "{type: daily, value: 2}": ["01-16 00:00", "01-18 00:00"],
    '{type: weekly, weekday: friday, at_time: "17:00"}': ["01-19 17:00", "01-26 17:00"],
    "{type: weekly, value: 2}": ["01-22 00:00", "02-05 00:00"],
    "{type: monthly, day: 31}": ["01-31 00:00", "02-29 00:00", "03-31 00:00", "04-30 00:00"],
    "{type: monthly, value: 3, day: last}": ["01-31 00:00", "04-30 00:00", "07-31 00:00", "10-31 00:00"],
    '{cron: "30 8 * * mon-fri"}': ["01-16 08:30", "01-17 08:30", "01-18 08:30", "01-19 08:30", "01-22 08:30"],
    '{cron: "0 9 * * 5#2"}': ["02-09 09:00", "03-08 09:00"],
    '{cron: "0 0 L * *"}': ["01-31 00:00", "02-29 00:00"],
    '{cron: "*/15 * * * *"}': ["01-15 10:15", "01-15 10:30", "01-15 10:45", "01-15 11:00"],
    '{cron: "@hourly"}': ["01-15 11:00", "01-15 12:00"],
}

#: the midnights of New York with which the days begin on which its clock is changed
SPRING, AUTUMN = datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)

#: each `dst` of scheduling.md, a time of such a day, and when it is due that day
AT_A_CLOCK_CHANGE = {
    "{gap: run_after}": (SPRING, "02:30", ["07:00"]),
    "{gap: skip}": (SPRING, "02:30", []),
    "{fold: first}": (AUTUMN, "01:30", ["05:30"]),
    "{fold: second}": (AUTUMN, "01:30", ["06:30"]),
    "{fold: both}": (AUTUMN, "01:30", ["05:30", "06:30"]),
}


def interval_of(text: str) -> Interval:
    """Return the interval that stands in tasks.yaml as `text`."""
    entry = f'tasks:\n  - id: a\n    interval: {text}\n    config: {{endpoint: "https://api.example.com/a"}}\n'
    return parse_catalog(entry, "example").tasks["a"].interval


def due_after(interval: Interval, instant: datetime | None, count: int) -> list[datetime]:
    found = list[datetime]()
    while len(found) < count and instant is not None and (instant := interval.next_after(instant)) is not None:
        found.append(instant)
    return found


def test_the_intervals_of_the_documentation_are_due_when_it_says() -> None:
    section = SCHEDULING.partition("## Intervals")[2].partition("\n## ")[0]
    documented = _AT_THE_START.findall(section)
    assert {
        text: [f"{at:%m-%d %H:%M}" for at in due_after(interval_of(text), START, len(INSTANTS.get(text, ())))]
        for text in documented
    } == INSTANTS


def test_each_choice_at_a_clock_change_is_due_when_the_documentation_says() -> None:
    section = SCHEDULING.partition("## When clocks change")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith(("| `{gap", "| `{fold"))]
    assert len(rows) == len(AT_A_CLOCK_CHANGE)
    for row, (dst, (midnight, at_time, expected)) in zip(rows, AT_A_CLOCK_CHANGE.items(), strict=True):
        interval = interval_of(f'{{type: daily, at_time: "{at_time}", timezone: America/New_York, dst: {dst}}}')
        due = [at for at in due_after(interval, midnight, 2) if at < midnight + timedelta(hours=23)]
        assert dst in row
        assert [f"{at:%H:%M}" for at in due] == expected
        assert all(at in row for at in expected)


@pytest.mark.parametrize(("catch_up", "hours"), [("none", []), ("latest", [12]), ("all", [10, 11, 12])])
def test_what_is_made_up_for_after_an_outage_is_what_the_documentation_says(catch_up: str, hours: list[int]) -> None:
    section = SCHEDULING.partition("## After an outage")[2].partition("\n## ")[0]
    row = next(row for row in section.splitlines() if row.startswith(f"| `{catch_up}`"))
    now = START.replace(hour=12, minute=20)
    due = due_instants(
        interval_of("{type: hourly}"),
        START,
        now=now,
        ahead=timedelta(minutes=1),
        catch_up=CatchUp(catch_up),
        max_age=timedelta(days=1),
    )
    assert ([at.hour for at in due.instants], due.following) == (hours, START.replace(hour=13))
    assert all(f"{hour}:00" in row for hour in hours or [13])


def test_each_type_of_interval_has_an_example_in_the_configuration() -> None:
    section = CONFIGURATION.partition("| `type` | its keys | for instance |")[2].partition("\n\n")[0]
    examples = [interval_of(text).as_dict() for text in _AT_THE_END.findall(section)]
    assert [each["type"] for each in examples] == ["hourly", "daily", "weekly", "monthly", "cron"]


def test_a_users_own_settings_are_documented_as_they_are_read() -> None:
    settings = [shlex.split(line)[1:] for line in _HSET.findall(CONFIGURATION)]
    assert {field for field, _ in settings} == {"custom_interval", "parameters"}
    for field, text in settings:
        if field == "custom_interval":
            read = read_custom_interval(text)
            assert not isinstance(read, str), read
            assert due_after(read[1], START, 1)
        else:
            assert parameters_of(json.loads(text), field)
