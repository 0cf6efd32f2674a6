"""`taskqueue plan`, as its user runs it, against a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from taskqueue.assets import asset_dir
from taskqueue.config.catalog import parse_catalog
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.occurrence import scheduled_occurrence
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.lease import Lease
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.commands import run_here
from tests.support.scheduling import task_type

AT = "2026-03-08T00:00:00Z"
NOW = datetime.fromisoformat(AT)

Planned = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def plan(directory: Path, capsys: pytest.CaptureFixture[str]) -> Planned:
    """Write the tasks of the new file, plan it, and return exit code, data and errors."""

    def plan(*entries: Mapping[str, object], options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any], str]:
        write(directory, *entries)
        code, out, err = run(capsys, "--at", AT, "-o", "json", *options)
        return code, json.loads(out) if out else {}, err

    return plan


def write(directory: Path, *entries: Mapping[str, object]) -> None:
    text = yaml.safe_dump({"tasks": [dict(entry) for entry in entries]})
    (directory / "new.yaml").write_text(text, encoding="utf-8")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return run_here(capsys, "plan", "new.yaml", *arguments)


def put_in_force(*entries: Mapping[str, object], planned_users: Mapping[str, int] | None = None) -> None:
    """Be the leader for a moment: write the definitions, and plan an occurrence of some tasks."""
    catalog = parse_catalog(yaml.safe_dump({"tasks": [dict(entry) for entry in entries]}), "tasks.yaml")

    async def lead() -> None:
        store = RedisStore(load_scheduler_settings(Path("config/scheduler.yaml")).redis, client_name="test")
        scripts = Scripts(store, asset_dir("lua"))
        lease = Lease(store, scripts, name="host-1", ttl=timedelta(seconds=10))
        assert await lease.acquire()
        await CatalogStore(store, scripts).write(lease.token, catalog.tasks, catalog.revision)
        for task_id, users in (planned_users or {}).items():
            task = catalog.tasks[task_id]
            entry = DueEntry(task_id=task_id, cohort="", at=NOW)
            await store.command("ZADD", "taskqueue:due", to_unix_ms(NOW), entry.member)
            occurrence = scheduled_occurrence(
                task, "", task.rule(), NOW, None, users=users, window=timedelta(minutes=30), now=NOW
            )
            await PlanStore(store, scripts).begin(lease.token, entry, None, occurrence)
        await lease.release()
        await store.close()

    asyncio.run(lead())


def enable(store: redis.Redis, count: int, **switches: int) -> None:
    with store.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.hset(f"taskqueue:users:user-{number}:tasks", mapping=switches)
        pipeline.execute()


def texts(found: Mapping[str, Any]) -> list[str]:
    return [f"{finding['severity']} {finding['task_id']}: {finding['text']}" for finding in found["findings"]]


def tell_wide_limits(store: redis.Redis) -> None:
    """Be a worker whose limits hold nobody back."""
    store.hset("taskqueue:limits", mapping={"global": '{"rate": 1000000, "burst": 1000000}'})


def test_the_same_file_changes_nothing(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("report"), task_type("other"))
    tell_wide_limits(store)
    enable(store, 7, report=1)

    code, found, err = plan(task_type("report"), task_type("other"))

    assert (code, err) == (0, "")
    assert found["compared_with"]["leader"] == "host-1"
    assert [(task["task_id"], task["change"]) for task in found["tasks"]] == [
        ("report", "unchanged"),
        ("other", "unchanged"),
    ]
    assert (found["removed"], found["findings"], found["refused"]) == ([], [], False)
    (report, _) = found["tasks"]
    assert (report["users"], report["gained"], report["lost"]) == (7, 0, 0)


def test_tasks_are_added_changed_and_removed(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("report"), task_type("gone"), task_type("steady"), planned_users={"gone": 40})
    enable(store, 3, report=1, gone=1, fresh=1)

    code, found, _ = plan(
        task_type("report", {"type": "daily", "at_time": "11:00"}), task_type("fresh"), task_type("steady")
    )

    assert code == 0
    report, fresh, _ = found["tasks"]
    assert report["fields"] == [{"field": "interval.at_time", "from": "10:00", "to": "11:00"}]
    assert (fresh["change"], fresh["gained"]) == ("added", 3)
    assert found["removed"] == [{"task_id": "gone", "lost": 3, "jobs": {"planned": 40, "waiting": 0, "running": None}}]
    assert found["removal"] == "finish"


def test_jobs_of_a_removed_task_that_wait_or_run_are_counted(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("kept"), task_type("gone", max_concurrency=5))
    store.sadd("taskqueue:waiting", "concurrency:gone", "task:gone", "task:kept")
    store.zadd("taskqueue:waiting:concurrency:gone", {"a": 1, "b": 2})
    store.zadd("taskqueue:waiting:task:gone", {"c": 1})
    store.zadd("taskqueue:waiting:task:kept", {"d": 1})
    store.zadd("taskqueue:running:gone", {f"worker:{number}": 1 for number in range(4)})

    _, found, _ = plan(task_type("kept"))

    assert [removed["jobs"] for removed in found["removed"]] == [{"planned": 0, "waiting": 3, "running": 4}]


def test_users_are_gained_and_lost_by_default_enabled_and_enabled(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("some"), task_type("all", default_enabled=True), task_type("none"))
    enable(store, 5, some=1, none=1)
    store.hset("taskqueue:users:refuser:tasks", mapping={"some": 0, "all": 0})

    _, found, _ = plan(task_type("some", default_enabled=True), task_type("all"), task_type("none", enabled=False))

    users = {task["task_id"]: (task["users"], task["gained"], task["lost"]) for task in found["tasks"]}
    assert users == {"some": (5, 0, 0), "all": (0, 0, 5), "none": (0, 0, 5)}


def test_occurrences_of_a_day_have_their_own_clock_and_marks(store: redis.Redis, plan: Planned) -> None:
    enable(store, 2, report=1)
    zone = {"timezone": "America/New_York"}

    _, found, _ = plan(task_type("report", {"type": "daily", "at_time": "02:30", **zone}))

    (task,) = found["tasks"]
    ((schedule,), occurrences) = task["schedules"], task["occurrences"]
    assert occurrences == 1
    assert schedule["next"] == [
        {
            "at": "2026-03-08T07:00:00Z",
            "local": "Sun 2026-03-08 03:00:00 -04:00",
            "window_s": 1800.0,
            "marks": ["02:30 is skipped and runs at 03:00", "offset -05:00 to -04:00"],
        }
    ]
    assert [(change["kind"], change["effect"]) for change in found["clock_changes"]] == [
        ("gap", "02:30 is skipped and runs at 03:00"),
        ("fold", None),
    ]


def test_users_with_an_interval_of_their_own_are_counted_apart(store: redis.Redis, plan: Planned) -> None:
    enable(store, 10, report=1)
    for number in range(4):
        settings = {"custom_interval": '{"type": "hourly", "value": 12}'}
        store.hset(f"taskqueue:users:user-{number}:settings:report", mapping=settings)
    store.hset("taskqueue:users:user-9:settings:report", mapping={"custom_interval": "nonsense"})

    _, found, _ = plan(task_type("report"))

    (task,) = found["tasks"]
    assert [(schedule["users"], schedule["occurrences"]) for schedule in task["schedules"]] == [(6, 1), (4, 2)]
    assert (task["custom_intervals"], found["preferences_ignored"]) == (1, 1)
    assert found["hosts"][0]["calls"] == 6 + 4  # the second twelve hours begin where the day ends


def test_users_by_window_above_a_limit_are_refused_without_force(store: redis.Redis, plan: Planned) -> None:
    enable(store, 1200, report=1)
    store.hset("taskqueue:limits", mapping={"task:report": '{"rate": 1, "burst": 1}'})
    entry = task_type("report", distribution_window="10m")

    code, found, err = plan(entry)

    assert code == 4
    assert err == "new.yaml: refused for the findings above; mend them, or add --force\n"
    assert texts(found) == [
        "refused report: 1,200 users / 600 s = 2/s > rate_limit 1/s: needs 20 min, the window is 10 min"
    ]
    assert plan(entry, options=("--force",))[0] == 0


def test_the_global_limit_and_max_concurrency_count_as_well(store: redis.Redis, plan: Planned) -> None:
    enable(store, 1200, report=1)
    store.hset("taskqueue:limits", mapping={"global": '{"rate": 1, "burst": 1}'})
    store.zadd("taskqueue:metrics:duration:report", {"a:3000": 1, "b:5000": 2})

    code, found, _ = plan(task_type("report", distribution_window="10m", max_concurrency=6))

    assert code == 4
    assert texts(found) == [
        "refused report: 1,200 users / 600 s = 2/s > max_concurrency 1.5/s (6 at a time, 4 s each): "
        "needs 13 min 20 s, the window is 10 min",
        "refused report: 1,200 users / 600 s = 2/s > rate_limit.global 1/s: needs 20 min, the window is 10 min",
        "warning None: all tasks: together more than rate_limit.global 1/s: up to 9 min 59 s late, worst at "
        "2026-03-08T10:09:50Z",
    ]


def test_a_limit_that_is_set_for_a_while_only_warns(store: redis.Redis, plan: Planned) -> None:
    enable(store, 1200, report=1)
    tell_wide_limits(store)
    until = to_unix_ms(datetime.fromisoformat("2100-01-01T00:00:00Z"))
    said = {"rate": 1, "burst": 1, "until": until}
    store.hset("taskqueue:limits:overrides", mapping={"task:report": json.dumps(said)})

    code, found, _ = plan(task_type("report", distribution_window="10m"))

    assert code == 0
    (finding,) = texts(found)
    assert finding.startswith("warning report: ")
    assert "rate_limit 1/s (set until 2100-01-01T00:00:00Z)" in finding


def test_a_file_that_the_reload_would_refuse_is_refused(store: redis.Redis, plan: Planned, directory: Path) -> None:
    put_in_force(*(task_type(f"task-{number}") for number in range(5)))

    code, found, _ = plan(task_type("task-0"), task_type("task-1"))

    assert (code, found["refused"]) == (4, True)
    assert texts(found)[0].startswith("refused None: reload: 3 of 5 tasks are gone from the file; ")
    (directory / "config" / "scheduler.yaml").write_text("tasks: {allow_mass_delete: true}\n", encoding="utf-8")
    assert plan(task_type("task-0"), task_type("task-1"))[0] == 0


def test_a_task_that_is_paused_through_the_api_gets_nobody(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("report", enabled=False))
    store.sadd("taskqueue:api:paused", "report")
    enable(store, 2, report=1)

    _, found, _ = plan(task_type("report"))

    (task,) = found["tasks"]
    assert (task["change"], task["paused"], task["users"], task["occurrences"]) == ("unchanged", True, 0, 0)


def test_nothing_is_written(store: redis.Redis, plan: Planned) -> None:
    put_in_force(task_type("report"), task_type("gone"), planned_users={"gone": 3})
    enable(store, 5, report=1)
    before = {key: store.dump(key) for key in store.keys("*") if not key.startswith("taskqueue:distribution:lock")}

    plan(task_type("report"))

    after = {key: store.dump(key) for key in store.keys("*") if not key.startswith("taskqueue:distribution:lock")}
    assert after == before


def test_all_mistakes_of_the_file_are_listed_with_their_places(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["tasks:"] + [
        line
        for number in range(10)
        for line in (f"  - id: task-{number}", "    interval: {type: dayly}", "    config: {endpoint: 'http://a/'}")
    ]
    (directory / "new.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    code, out, err = run(capsys)

    assert (code, out) == (2, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [
        f"new.yaml:{3 + 3 * number}:22" for number in range(10)
    ]


@pytest.mark.usefixtures("directory")
def test_without_redis_it_says_how_to_go_on(plan: Planned) -> None:
    code, found, err = plan(task_type("report"))
    assert (code, found) == (5, {})
    assert err.startswith("nothing to compare with, which only --offline does without: Redis: ")
    assert err.endswith(
        "does it run there? The address is redis.addresses of the settings file, or TASKQUEUE_REDIS__ADDRESSES\n"
    )


@pytest.mark.usefixtures("directory")
def test_offline_it_compares_with_nothing_and_knows_no_users(plan: Planned) -> None:
    code, found, err = plan(task_type("report"), options=("--offline",))
    assert (code, err) == (0, "")
    assert (found["compared_with"], found["users_known"]) == (None, None)
    (task,) = found["tasks"]
    assert (task["change"], task["users"], task["occurrences"]) == ("added", None, 1)


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("noon", "--at: time 'noon': use RFC 3339"),
        ("9999-12-31T23:59:59Z", "--at: time '9999-12-31T23:59:59Z': out of range; use a year from 1970 to 9997"),
        ("9998-12-31T00:00:00Z", "--at: time '9998-12-31T00:00:00Z': out of range"),
        ("1000-01-01T00:00:00Z", "--at: time '1000-01-01T00:00:00Z': out of range"),
    ],
)
def test_a_time_that_is_none_is_wrong_usage(
    directory: Path, capsys: pytest.CaptureFixture[str], time: str, problem: str
) -> None:
    write(directory, task_type("report"))
    code, _, err = run(capsys, "--at", time, "--offline")
    assert code == 2
    assert err.startswith(problem)


def test_the_last_day_that_can_be_looked_at_is_looked_at(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, task_type("report", {"type": "daily", "timezone": "Pacific/Kiritimati"}))
    assert run(capsys, "--at", "9997-12-30T00:00:00Z", "--offline")[0] == 0


def test_a_host_has_the_calls_of_all_its_tasks_and_what_their_limits_let_start(
    store: redis.Redis, plan: Planned
) -> None:
    enable(store, 1200, report=1, other=1, apart=1)
    limits = {"global": '{"rate": 3, "burst": 3}', "task:report": '{"rate": 2, "burst": 2}'}
    store.hset("taskqueue:limits", mapping=limits)
    apart = {**task_type("apart"), "config": {"endpoint": "https://apart.example.com/x"}}

    _, found, _ = plan(task_type("report"), task_type("other", {"cron": "5 10 * * *"}), apart)

    here, there = found["hosts"]
    assert (here["host"], here["calls"], here["limits_allow_per_second"]) == ("http://127.0.0.1:1", 2400, 3)
    assert here["peak_per_second"] == pytest.approx(2 * 1200 / 1800, abs=0.11)
    assert "2026-03-08T10:05:00Z" <= here["peak_at"] < "2026-03-08T10:30:00Z"
    assert found["limits_known"]
    assert (there["host"], there["calls"]) == ("https://apart.example.com:443", 1200)


def test_people_get_tables(store: redis.Redis, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_in_force(task_type("report"), task_type("gone"), planned_users={"gone": 12})
    enable(store, 1200, report=1, gone=1)
    store.hset("taskqueue:limits", mapping={"task:report": '{"rate": 1, "burst": 1}'})
    write(directory, task_type("report", distribution_window="10m"))

    code, out, _ = run(capsys, "--at", AT, "-o", "table")

    assert code == 4
    for said in (
        "compared with",
        "distribution_window",
        "12 jobs planned, 0 waiting",
        "tasks.removed: finish: what is on its way is finished",
        "Sun 2026-03-08 10:00:00 +00:00",
        "http://127.0.0.1:1",
        "2/s",
        "refused: report: 1,200 users / 600 s = 2/s > rate_limit 1/s",
    ):
        assert said in out
