from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from taskqueue.config.catalog import (
    Catalog,
    load_catalog,
    parse_catalog,
)
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import CatchUp, Interval, Overlap, Priority, Target, Task
from taskqueue.errors import ConfigError

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
        "tasks.yaml:7:24: tasks[0].config.endpoint: endpoint has an unknown placeholder; did you mean 'user_id'?",
        "tasks.yaml:7:51: tasks[0].config.method: cannot be 'post'; did you mean 'POST'?",
        "tasks.yaml:8:5: tasks[1].config: is missing; add it",
        "tasks.yaml:9:22: tasks[1].interval.type: unknown type 'dayly'; did you mean 'daily'?",
    )


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


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("timezone: UTC", "5:5: tasks[0].timezone: unknown key 'timezone' here; it belongs into interval"),
        ("cron: '0 8 * * *'", "5:5: tasks[0].cron: unknown key 'cron' here; it belongs into interval"),
        ("method: GET", "5:5: tasks[0].method: unknown key 'method' here; it belongs into config"),
        ("\u00a0retries: 3", "5:5: tasks[0].: a key begins with U+00A0, which is no blank to YAML; indent with plain"),
        ("enabled: 'true'", "5:14: tasks[0].enabled: must be true or false, not 'true'; write it without quotes"),
        ("enabled: yes", "5:14: tasks[0].enabled: must be true or false, not 'yes'; change the value"),
        ("retries: '03'", "5:14: tasks[0].retries: must be a whole number, not '03'; change the value"),
        ("catch_up: ~", "5:15: tasks[0].catch_up: cannot be null; did you mean 'none'?"),
    ],
)
def test_a_right_word_in_the_wrong_form_or_place_is_told_with_the_right_one(line: str, problem: str) -> None:
    (told,) = problems_of(f"{MINIMAL}    {line}\n")
    assert told.startswith(f"tasks.yaml:{problem}")


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


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (
            'endpoint: "https://h/{userid}"',
            "4:24: tasks[0].config.endpoint: endpoint has an unknown placeholder; did you",
        ),
        (
            'endpoint: "https://bücher.example/"',
            "4:24: tasks[0].config.endpoint: endpoint has a host outside ASCII; wr",
        ),
        (
            'endpoint: "https://h/../x"',
            "4:24: tasks[0].config.endpoint: endpoint has a . or .. as a segment of its path",
        ),
        (
            'endpoint: "https://h", headers: {Host: x}',
            "4:47: tasks[0].config.headers.Host: header Host is set by the HTTP client; remove it",
        ),
        (
            'endpoint: "https://h", headers: {X-Ok: x, X-Bad: "${env:}"}',
            "4:63: tasks[0].config.headers.X-Bad: the header's value has a malformed reference; use ${env:NAME} or",
        ),
        (
            'endpoint: "https://h", headers: {X-Bad: "a\\r\\nX-More: b"}',
            "4:54: tasks[0].config.headers.X-Bad: the header's value has a line break or NUL",
        ),
        (
            'endpoint: "https://h", headers: {"X-Bad\\r\\nX-More": b}',
            "4:47: tasks[0].config.headers.X-Bad: a header name is not an HTTP token; use letters, digits and -",
        ),
        (
            'endpoint: "https://h", headers: {X-Key: a, x-key: b}',
            "4:46: tasks[0].config.headers: header x-key stands there also as X-Key; keep one of them",
        ),
    ],
)
def test_what_cannot_be_sent_is_told_at_its_own_place(target: str, problem: str) -> None:
    (line,) = problems_of(MINIMAL.replace('endpoint: "https://h/a"', target))
    assert line.startswith(f"tasks.yaml:{problem}")


def test_every_header_that_is_wrong_is_told() -> None:
    problems = problems_of(MINIMAL.replace('"https://h/a"', '"https://h/a", headers: {TE: x, X-B: "é", "": x}'))
    assert [line.split(": ")[1] for line in problems] == [
        "tasks[0].config.headers.TE",
        "tasks[0].config.headers.X-B",
        "tasks[0].config.headers.",
    ]
