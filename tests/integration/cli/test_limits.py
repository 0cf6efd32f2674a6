"""`taskqueue limits`, as its user runs it, against a real Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from taskqueue.core.task import Task
from tests.integration.cli.conftest import DEAD_ADDRESS
from tests.support.commands import run_here
from tests.support.values import a_task

TOLD = {"global": '{"rate": 100, "burst": 100}', "task:daily_report": '{"rate": 0.5, "burst": 1}'}
HOST = "https://api.example.com:443"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return run_here(capsys, "limits", *arguments)


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, err = run(capsys, "show", "-o", "json")
    assert (code, err) == (0, "")
    return dict(json.loads(out))


def override(store: redis.Redis, name: str) -> dict[str, float]:
    return dict(json.loads(str(store.hget("taskqueue:limits:overrides", name))))


@pytest.mark.parametrize("name", ["daily_report", "task:daily_report"])
def test_a_task_s_limit_is_set_for_a_while(store: redis.Redis, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = run(capsys, "set", name, "50", "--for", "1h")

    assert (code, err) == (0, "")
    assert out.startswith("task:daily_report: 50/s, 50 at once until 2")
    said = override(store, "task:daily_report")
    assert (said["rate"], said["burst"]) == (50, 50)
    assert said["until"] == pytest.approx((time.time() + 3600) * 1000, abs=10_000)


def test_the_global_limit_is_set_with_a_burst(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "set", "global", "0.5", "--burst", "4", "--for", "90s")[0] == 0
    said = override(store, "global")
    assert (said["rate"], said["burst"]) == (0.5, 4)


def test_clear_says_whether_something_was_set(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "set", "global", "0", "--for", "1h")

    assert run(capsys, "clear", "global", "--yes") == (0, "global: the limit of worker.yaml holds again\n", "")
    assert run(capsys, "clear", "global", "--yes") == (0, "global: nothing was set\n", "")
    assert store.keys("*") == []


def test_a_limit_is_cleared_only_with_consent(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "set", "global", "0", "--for", "1h")

    assert run(capsys, "clear", "global")[:2] == (4, "")
    assert run(capsys, "clear", "global", "--dry-run")[:2] == (
        0,
        "would let the limit of worker.yaml hold again for global\n",
    )
    assert store.keys("*") != []
    assert json.loads(run(capsys, "clear", "global", "--yes", "-o", "json")[1]) == {"name": "global", "was_set": True}


@pytest.mark.usefixtures("store")
def test_a_task_that_does_not_exist_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "set", "daly_report", "1", "--for", "1m")
    assert code == 0
    assert err == "warning: config/tasks.yaml has no task daly_report; did you mean 'daily_report'?\n"


def test_a_task_in_force_that_the_file_lacks_is_no_warning(
    capsys: pytest.CaptureFixture[str], put_in_force: Callable[[Task], None]
) -> None:
    put_in_force(a_task(id="demo_report"))

    assert run(capsys, "set", "demo_report", "1", "--for", "1m")[2] == ""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("set", "a b", "1", "--for", "1h"), "NAME: "),
        (("set", "concurrency:a", "1", "--for", "1h"), "NAME: "),
        (("set", "global", "nan", "--for", "1h"), "RATE nan: use jobs per second, 0 or more"),
        (("set", "global", "1", "--burst", "0.5", "--for", "1h"), "--burst 0.5: use 1 job or more"),
        (("set", "global", "1", "--for", "5"), "--for: duration '5': use a number with its unit"),
        (("set", "global", "0", "--for", "30d"), "--for 30d: use 29d at most with a rate of 0"),
        (("set", "global", "1", "--for", "0s"), "--for 0s: use a duration above zero"),
        (("clear", ""), "NAME: "),
    ],
)
def test_a_bad_argument_writes_nothing_and_says_what_to_use(
    store: redis.Redis, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], problem: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(problem)
    assert store.keys("*") == []


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("arguments", [("show",), ("set", "global", "1", "--for", "1h"), ("clear", "global", "--yes")])
def test_a_redis_that_is_not_there_is_exit_code_5(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (5, "")
    assert DEAD_ADDRESS in err


@pytest.mark.usefixtures("store")
def test_where_nothing_is_told_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys)
    assert (found["limits"], found["hosts"]) == ([], [])


def test_limits_are_shown_with_what_is_set_what_may_start_and_what_waits(
    store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    store.hset("taskqueue:limits", mapping=TOLD)
    store.hset("taskqueue:ratelimit:global", mapping={"tokens": 3, "last_refill": time.time() + 3600})
    store.sadd("taskqueue:waiting", "task:daily_report", "queue:low")
    store.zadd("taskqueue:waiting:task:daily_report", {"job-1": 1, "job-2": 2})
    store.zadd("taskqueue:waiting:queue:low", {"job-3": 1})
    run(capsys, "set", "daily_report", "7", "--for", "1h")

    over_all, low, own = shown(capsys)["limits"]

    assert over_all == {
        "name": "global",
        "worker_yaml": {"rate": 100, "burst": 100},
        "override": None,
        "in_force": {"rate": 100, "burst": 100},
        "tokens": 3,
        "waiting": 0,
    }
    assert (low["name"], low["in_force"], low["tokens"], low["waiting"]) == ("queue:low", None, None, 1)
    assert (own["worker_yaml"], own["in_force"]) == ({"rate": 0.5, "burst": 1}, {"rate": 7, "burst": 7})
    assert 3500 < own["override"]["remaining_s"] <= 3600
    assert (own["tokens"], own["waiting"]) == (7, 2)


def test_hosts_in_trouble_are_shown_with_what_waits_for_them(
    store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {"limit": 1, "in_flight": 0, "closed_until": time.time() + 30, "since": 1, "closings": 2, "probing": False}
    said = {"expires": round((time.time() + 10) * 1000), "hosts": {HOST: report}}
    store.hset("taskqueue:hosts", "worker-1:aa", json.dumps(said))
    store.sadd("taskqueue:waiting", "host:https%3A%2F%2Fapi.example.com%3A443")
    store.zadd("taskqueue:waiting:host:https%3A%2F%2Fapi.example.com%3A443", {"job-1": 1})

    (host,) = shown(capsys)["hosts"]

    assert host.pop("closed_until")
    assert host == {"host": HOST, "state": "closed", "limit": 0, "in_flight": 0, "workers": 1, "waiting": 1}


def test_the_table_says_the_same(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    store.hset("taskqueue:limits", mapping=TOLD)
    store.sadd("taskqueue:waiting", "host:http%3A%2F%2Fa%3A80")
    store.zadd("taskqueue:waiting:host:http%3A%2F%2Fa%3A80", {"job-1": 1})
    run(capsys, "set", "daily_report", "7", "--for", "1h")

    code, out, err = run(capsys, "show", "-o", "table")

    assert (code, err) == (0, "")
    for text in ("100/s, 100 at once", "7/s, 7 at once", "more, then 0.5/s, 1 at once", "http://a:80", "open"):
        assert text in out
