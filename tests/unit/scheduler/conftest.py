"""A tasks.yaml of three tasks that is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskqueue.scheduler.catalog_watch import CatalogWatch
from tests.support.scheduling import EventLog, TasksFile, task_type


@pytest.fixture
def file(tmp_path: Path) -> TasksFile:
    file = TasksFile(tmp_path / "tasks.yaml")
    file.write(task_type("a"), task_type("b"), task_type("c"))
    return file


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def watch(file: TasksFile, events: EventLog) -> CatalogWatch:
    return file.watch(events, allow_mass_delete=False)
