from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.catalog import (
    Catalog,
    load_catalog,
    parse_catalog,
    task_from_json,
    task_to_json,
)
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import CatchUp, Interval, Overlap, Priority, Target, Task, TaskSource
from taskqueue.errors import ConfigError, InvalidValueError
from tests.support.values import instants

SPEC_FILE = Path(__file__).parents[2] / "contract" / "spec" / "tasks.yaml"
SPEC_TEXT = SPEC_FILE.read_text(encoding="utf-8")

MINIMAL = """\
tasks:
  - id: a
    interval: {type: daily}
    config: {endpoint: "https://h/a"}
"""


def task_with(line: str) -> Task:
    return parse_catalog(f"{MINIMAL}    {line}\n", "tasks.yaml").tasks["a"]


def interval_of(text: str) -> Interval:
    return parse_catalog(MINIMAL.replace("{type: daily}", text), "tasks.yaml").tasks["a"].interval


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_catalog(text, "tasks.yaml")
    return caught.value.problems


def test_the_file_of_the_specification_loads_as_written() -> None:
    catalog = load_catalog(SPEC_FILE)
    assert catalog.warnings == ()
    assert catalog.tasks["daily_report"] == Task(
        id="daily_report",
        name="Daily Report Generation",
        description="Generates daily activity reports for users",
        interval=Every(kind=EveryKind.DAILY, value=1, timezone="UTC", at_time=time(0)),
        timeout=timedelta(minutes=5),
        retries=3,
        target=Target(
            endpoint="https://api.example.com/reports/daily",
            method="POST",
            headers={"Content-Type": "application/json"},
            max_duration=timedelta(minutes=4),
        ),
    )
    assert catalog.tasks["hourly_sync"].target.method == "GET"


def test_what_a_task_leaves_out_is_the_default_of_core() -> None:
    task = parse_catalog(MINIMAL, "tasks.yaml").tasks["a"]
    assert task == Task(
        id="a", name="a", interval=Every(kind=EveryKind.DAILY, value=1), target=Target(endpoint="https://h/a")
    )


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("priority: high", "priority", Priority.HIGH),
        ("priority: medium", "priority", Priority.NORMAL),
        ("priority: low", "priority", Priority.LOW),
        ("distribution_window: 0s", "distribution_window", timedelta()),
        ("distribution_window: 31d", "distribution_window", timedelta(days=31)),
        ("enabled: false", "enabled", False),
        ("default_enabled: true", "default_enabled", True),
        ("catch_up: none", "catch_up", CatchUp.NONE),
        ("max_age: 2h", "max_age", timedelta(hours=2)),
        ("retry_delay: 5s", "retry_delay", timedelta(seconds=5)),
        ("retry_unknown: false", "retry_unknown", False),
        ("retries: 0", "retries", 0),
        ("timeout: 15m", "timeout", timedelta(minutes=15)),
        ("overlap: skip", "overlap", Overlap.SKIP),
        ("overlap: queue", "overlap", Overlap.QUEUE),
        ("max_concurrency: 1", "max_concurrency", 1),
        ("max_concurrency: 100000", "max_concurrency", 100_000),
        ("max_concurrency: null", "max_concurrency", None),
    ],
)
def test_each_key_of_a_task_reaches_its_field(line: str, field: str, value: object) -> None:
    assert getattr(task_with(line), field) == value


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("{type: hourly, value: 2}", Every(kind=EveryKind.HOURLY, value=2)),
        ("{type: daily, at_time: 10:30}", Every(kind=EveryKind.DAILY, value=1, at_time=time(10, 30))),
        (
            "{type: weekly, weekday: friday, at_time: '08:00:30', timezone: Europe/Berlin}",
            Every(kind=EveryKind.WEEKLY, value=1, weekday=4, at_time=time(8, 0, 30), timezone="Europe/Berlin"),
        ),
        ("{type: monthly, day: last}", Every(kind=EveryKind.MONTHLY, value=1, day="last")),
        ("{type: monthly, day: 15, value: 3}", Every(kind=EveryKind.MONTHLY, value=3, day=15)),
        (
            "{cron: '*/5 * * * *', timezone: America/New_York}",
            Cron(expression="*/5 * * * *", timezone="America/New_York"),
        ),
        ("{type: cron, cron: '@daily'}", Cron(expression="@daily")),
        (
            "{type: daily, dst: {gap: skip}}",
            Every(kind=EveryKind.DAILY, value=1, dst=Dst(gap=Gap.SKIP)),
        ),
        (
            "{cron: '30 2 * * *', dst: {fold: both, gap: run_after}}",
            Cron(expression="30 2 * * *", dst=Dst(fold=Fold.BOTH)),
        ),
    ],
)
def test_each_kind_of_interval_reaches_its_rule(text: str, interval: Interval) -> None:
    assert interval_of(text) == interval


def test_ten_mistakes_are_ten_lines_in_the_order_of_the_file() -> None:
    problems = problems_of("""\
tasks:
  - id: daily report
    intervall: {}
    interval: {type: daily, evry: 2, at_time: 25:00, timezone: Europe/Berln}
    timeout: 50m
    retries: -1
    config: {endpoint: "https://h/{usr}", method: post}
  - id: b
    interval: {type: dayly}
""")
    assert problems == (
        "tasks.yaml:2:9: tasks[0].id: task id 'daily report': use 1 to 64 of A-Z a-z 0-9 . _ -",
        "tasks.yaml:3:5: tasks[0].intervall: unknown key 'intervall'; did you mean 'interval'?",
        "tasks.yaml:4:29: tasks[0].interval.evry: unknown key 'evry'; known here: at_time, dst, timezone, type, value",
        "tasks.yaml:4:47: tasks[0].interval.at_time: not a time of day; "
        'use "HH:MM" or "HH:MM:SS", from 00:00 to 23:59:59',
        "tasks.yaml:4:64: tasks[0].interval.timezone: timezone 'Europe/Berln': unknown; "
        "did you mean Europe/Berlin or Europe/Belfast or Europe/Helsinki?",
        "tasks.yaml:5:14: tasks[0].timeout: duration 50m: use at most 15m; "
        "RabbitMQ closes a consumer that holds a message for 30 minutes",
        "tasks.yaml:6:14: tasks[0].retries: cannot be -1; use at least 0",
        "tasks.yaml:7:24: tasks[0].config.endpoint: endpoint has an unknown placeholder; use {user_id} or {task_id}",
        "tasks.yaml:7:51: tasks[0].config.method: cannot be 'post'; did you mean 'POST'?",
        "tasks.yaml:8:5: tasks[1].config: is missing; add it",
        "tasks.yaml:9:22: tasks[1].interval.type: unknown type 'dayly'; did you mean 'daily'?",
    )


@pytest.mark.parametrize(
    ("interval", "problem"),
    [
        ("daily", "3:15: tasks[0].interval: must be a mapping, not text; check the indentation"),
        ("{value: 2}", "3:15: tasks[0].interval.type: is missing;"),
        ("{type: daily, value: 0}", "3:36: tasks[0].interval.value: cannot be 0; use at least 1"),
        ("{type: daily, value: 9999}", "3:15: tasks[0].interval: daily value 9999: use 1 to 3650"),
        ("{type: hourly, at_time: '08:00'}", "3:30: tasks[0].interval.at_time: unknown key"),
        ("{type: monthly, day: 32}", "3:36: tasks[0].interval.day: not a day of the month"),
        ("{type: monthly, day: true}", "3:36: tasks[0].interval.day: not a day of the month"),
        ("{cron: '* * * *'}", "3:22: tasks[0].interval.cron: cron '* * * *': 4 fields"),
        ("{type: daily, cron: '@daily'}", "3:22: tasks[0].interval.type: cannot be 'daily'"),
        ("{type: daily, dst: {gap: leap}}", "3:40: tasks[0].interval.dst.gap: cannot be 'leap'"),
        ("{type: daily, dst: skip}", "3:34: tasks[0].interval.dst: must be a mapping, not text"),
        ("{type: daily, dst: {fold: first, gab: skip}}", "3:48: tasks[0].interval.dst.gab: unknown key 'gab'; did you"),
        ("{type: hourly, dst: {gap: skip}}", "3:15: tasks[0].interval: dst: hourly has no fixed time"),
        ("{cron: '*/5 * * * *', dst: {gap: skip}}", "3:15: tasks[0].interval: dst: cron '*/5 * * * *' follows real"),
        ("{type: once, at: 2030-01-01T00:00:00Z}", "3:22: tasks[0].interval.type: unknown type 'once'"),
    ],
)
def test_a_wrong_interval_is_explained_where_it_stands(interval: str, problem: str) -> None:
    (line,) = problems_of(MINIMAL.replace("{type: daily}", interval))
    assert line.startswith(f"tasks.yaml:{problem}")


@pytest.mark.parametrize(
    "line",
    [
        "timeout: 15m1s",
        "max_age: 0s",
        "retries: 101",
        "retries: '3'",
        "retries: true",
        "distribution_window: 32d",
        "priority: urgent",
        "enabled: yes",
        "name: 5",
        'name: "a\\nb"',
        "description: [x]",
        "source: api",
        "overlap: wait",
        "overlap: true",
        "max_concurrency: 0",
        "max_concurrency: 100001",
        "max_concurrency: 2.5",
        "max_concurrency: true",
        "removed: true",
        "start_at: 2024",
        "start_at: 2024-01-15",
        "start_at: 2024-01-15T10:00:00",
        "start_at: 1969-12-31T23:59:59Z",
        "end_at: 9999-01-01T00:00:00Z",
        "end_at: tomorrow",
    ],
)
def test_a_value_out_of_its_range_or_type_is_refused(line: str) -> None:
    assert len(problems_of(f"{MINIMAL}    {line}\n")) == 1


@pytest.mark.parametrize("task_id", ["", "a b", "tasks", "x" * 65, "a/b", "é"])
def test_what_is_no_task_id_is_refused(task_id: str) -> None:
    assert "tasks[0].id" in problems_of(MINIMAL.replace("id: a", f"id: {task_id!r}"))[0]


def test_an_id_used_twice_is_refused_beside_other_problems() -> None:
    second = MINIMAL.removeprefix("tasks:\n").replace("daily", "dayly")
    problems = problems_of(MINIMAL + second)
    assert problems[0] == "tasks.yaml:5:9: tasks[1].id: the id of tasks[0]; use another, ids are unique"
    assert len(problems) == 2


@pytest.mark.parametrize(
    "entry",
    [
        'config: {endpoint: "https://u:hunter2@h"}',
        'config: {endpoint: "https://h/a?key=hunter2 "}',
        'config: {endpoint: "https://h", headers: {Authorization: "hunter2\\n"}}',
        'config: {endpoint: "https://h", headers: {Authorization: [hunter2]}}',
        'config: {endpoint: "https://h", headers: "hunter2"}',
        'config: {endpoint: "https://h", headers: {"Authorization:hunter2": 5}}',
        'config: {endpoint: "https://h", "password=hunter2": 5}',
        "config: endpoint:hunter2",
        'priority: "https://u:hunter2@h/?k=hunter2"',
    ],
)
def test_secrets_do_not_appear_in_problems(entry: str) -> None:
    text = "tasks:\n  - id: a\n    interval: {type: daily}\n    " + entry + "\n"
    assert "hunter2" not in "\n".join(problems_of(text))


def test_an_end_before_the_start_is_refused() -> None:
    bounds = "    start_at: 2024-02-01T00:00:00Z\n    end_at: 2024-02-01T00:30:00+01:00\n"
    (problem,) = problems_of(MINIMAL + bounds)
    assert problem == (
        "tasks.yaml:2:5: tasks[0]: end_at 2024-01-31T23:30:00Z lies before start_at 2024-02-01T00:00:00Z; "
        "it would never run: exchange them"
    )


def test_no_tasks_must_be_said_with_an_empty_list() -> None:
    assert parse_catalog("tasks: []\n", "t").tasks == {}
    assert "t:1:8: tasks: no tasks; nothing will run" in parse_catalog("tasks: []\n", "t").warnings


@pytest.mark.parametrize("text", ["", "# nothing\n", "tasks:\n", "[]\n", "tasks: {}\n", "{}\n"])
def test_a_file_without_a_list_of_tasks_is_refused(text: str) -> None:
    assert len(problems_of(text)) == 1


def test_what_is_likely_not_meant_is_a_warning_with_its_place() -> None:
    text = MINIMAL.replace(
        '"https://h/a"', '"https://h/a", max_duration: 2m, headers: {Authorization: abc, X-Api-Key: "${env:K}"}'
    )
    warnings = parse_catalog(text + "    timeout: 1m\n", "t").warnings
    assert warnings == (
        "t:4:53: tasks[0].config.max_duration: longer than the timeout of 1m, which ends the call before",
        "t:4:82: tasks[0].config.headers.Authorization: a secret in the file; use ${env:NAME} or ${file:/path}",
    )


def _is_prefix(task: Task, original: Task) -> bool:
    """A cut may have removed or shortened what stood last in the last task; nothing else may differ."""
    kept = (task.id, task.name, task.description, task.interval, task.timeout, task.retries)
    whole = (original.id, original.name, original.description, original.interval, original.timeout, original.retries)
    return kept == whole and original.target.endpoint.startswith(task.target.endpoint)


def _outcome(text: str) -> Catalog | None:
    try:
        return parse_catalog(text, "tasks.yaml")
    except ConfigError:
        return None


def test_a_file_cut_anywhere_is_an_error_or_a_prefix_of_itself() -> None:
    full = SPEC_TEXT + "\n"
    originals = list(load_catalog(SPEC_FILE).tasks.values())
    accepted = 0
    for cut in range(len(full)):
        catalog = _outcome(full[:cut])
        if catalog is None:
            continue
        accepted += 1
        tasks = list(catalog.tasks.values())
        assert tasks[:-1] == originals[: len(tasks) - 1]
        assert _is_prefix(tasks[-1], originals[len(tasks) - 1])
        # A cut inside of a line cannot be told from a short value, but it never goes unnoticed.
        assert full[:cut].endswith("\n") or any("complete" in warning for warning in catalog.warnings)
    assert 0 < accepted < 200


def test_equal_content_has_an_equal_revision_and_other_content_another() -> None:
    second = MINIMAL.removeprefix("tasks:\n").replace("id: a", "id: b")
    swapped = "# a comment\ntasks:\n" + second + MINIMAL.removeprefix("tasks:\n")
    revision = parse_catalog(MINIMAL + second, "t").revision
    assert len(revision) == 16
    assert parse_catalog(swapped, "other").revision == revision
    assert parse_catalog(MINIMAL, "t").revision != revision


dsts = st.builds(Dst, gap=st.sampled_from(Gap), fold=st.sampled_from(Fold))
durations = st.integers(1, 900_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))
intervals = st.one_of(
    st.builds(Every, kind=st.just(EveryKind.HOURLY), value=st.integers(1, 48)),
    st.builds(
        Every,
        kind=st.just(EveryKind.WEEKLY),
        value=st.integers(1, 9),
        timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
        at_time=st.times().map(lambda at: at.replace(microsecond=0)),
        weekday=st.integers(0, 6),
    ),
    st.builds(
        Every,
        kind=st.just(EveryKind.MONTHLY),
        value=st.integers(1, 12),
        day=st.integers(1, 31) | st.just("last"),
        dst=dsts,
    ),
    st.builds(Cron, expression=st.sampled_from(["30 2 * * *", "0 9 * * 1-5"]), dst=dsts),
    st.builds(Cron, expression=st.sampled_from(["*/5 * * * *", "@daily", "0 9 * * 1-5"])),
    st.builds(Once, at=st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001 - hypothesis wants naive bounds
)
tasks = st.builds(
    Task,
    id=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True).filter(lambda text: text != "tasks"),
    name=st.text(alphabet="aé 1", min_size=1, max_size=20),
    description=st.text(alphabet="aé\n'\"", max_size=20),
    interval=intervals,
    target=st.builds(
        Target,
        endpoint=st.sampled_from(["https://h/a", "http://h:81/{user_id}?t={task_id}"]),
        method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        headers=st.dictionaries(st.sampled_from(["X-A", "X-B"]), st.sampled_from(["", "1", "${env:K}"])),
        max_duration=st.none() | durations,
    ),
    source=st.sampled_from(TaskSource),
    timeout=st.none() | durations,
    retries=st.none() | st.integers(0, 100),
    retry_delay=st.none() | durations,
    retry_unknown=st.booleans(),
    priority=st.sampled_from(Priority),
    distribution_window=st.none() | durations | st.just(timedelta()),
    enabled=st.booleans(),
    default_enabled=st.booleans(),
    catch_up=st.sampled_from(CatchUp),
    max_age=durations,
    start_at=st.none() | instants(1971, 2000),
    end_at=st.none() | instants(2000, 9000),
)


@given(tasks)
def test_a_stored_task_reads_back_as_itself(task: Task) -> None:
    assert task_from_json(task_to_json(task)) == task


def test_fields_of_a_newer_version_are_ignored() -> None:
    task = load_catalog(SPEC_FILE).tasks["daily_report"]
    assert task_from_json(task_to_json(task).replace("{", '{"of_tomorrow":1,', 1)) == task


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000, "\ud800", b"\xff", '{"id":"a"}'])
def test_what_is_no_stored_task_is_an_invalid_value(text: str | bytes) -> None:
    with pytest.raises(InvalidValueError, match="stored task"):
        task_from_json(text)
