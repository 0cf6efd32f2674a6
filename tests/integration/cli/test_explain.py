"""`taskqueue explain`, as its user runs it, against a real Redis; what it finds is tried in the acceptance tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from taskqueue.core.task import Task
from tests.support.commands import run_here
from tests.support.values import a_task


@pytest.mark.parametrize(("default", "shown"), [(True, "default_enabled (on)"), (False, "default_enabled (off)")])
def test_a_table_says_how_default_enabled_stands_where_it_decides(
    store: redis.Redis,
    put_in_force: Callable[[Task], None],
    capsys: pytest.CaptureFixture[str],
    default: bool,
    shown: str,
) -> None:
    put_in_force(a_task(default_enabled=default))
    store.hset("taskqueue:users:ada:tasks", "other", "1")

    code, out, _ = run_here(capsys, "explain", "--task", "daily_report", "--user", "ada", "-o", "table")

    assert code == 0
    assert ["rule", *shown.split()] in [line.split() for line in out.splitlines()]
