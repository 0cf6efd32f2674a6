"""A directory with configuration files, and the Redis that `taskqueue users` is told to use there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
import redis

from taskqueue.config.catalog import task_to_json
from taskqueue.core.task import Task
from tests.support.commands import run_here
from tests.support.failed_pile import FailedPile

#: nothing listens on it
DEAD_ADDRESS = "127.0.0.1:1"

TASKS = """\
    tasks:
      - id: daily_report
        name: Daily report
        interval: {type: daily, value: 1}
        config: {endpoint: 'http://127.0.0.1:9/'}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with config/ in it."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "scheduler.yaml").write_text("scheduler: {}\n", encoding="utf-8")
    (tmp_path / "config" / "tasks.yaml").write_text(dedent(TASKS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKQUEUE_REDIS__ADDRESSES", json.dumps([DEAD_ADDRESS]))
    return tmp_path


@pytest.fixture
def store(redis_address: str, redis_db: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A client of the empty database that the command is told to use."""
    password = os.environ.get("TASKQUEUE_REDIS__PASSWORD")
    monkeypatch.setenv("TASKQUEUE_REDIS__ADDRESSES", json.dumps([redis_address]))
    monkeypatch.setenv("TASKQUEUE_REDIS__DB", str(redis_db))
    host, _, port = redis_address.rpartition(":")
    client = redis.Redis(host=host, port=int(port), db=redis_db, password=password, decode_responses=True)
    with closing(client):
        yield client


@pytest.fixture
def put_in_force(store: redis.Redis) -> Callable[[Task], None]:
    """Put a task in force, as the leader of another machine would whose tasks file is another one."""

    def put(task: Task) -> None:
        store.hset("taskqueue:catalog", task.id, task_to_json(task))

    return put


@pytest.fixture
def run_users(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `taskqueue users` here with arguments; return its exit code, output and errors."""

    return partial(run_here, capsys, "users")


@pytest.fixture
def pile(amqp_url: str, store: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[FailedPile]:
    """The failed queue of the empty virtual host that the command is told to use, beside the empty database."""
    assert store.dbsize() == 0
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", amqp_url)
    with closing(FailedPile(amqp_url)) as pile:
        yield pile


@pytest.fixture
def run_failed(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `taskqueue failed` here with arguments; return its exit code, output and errors."""

    return partial(run_here, capsys, "failed")
