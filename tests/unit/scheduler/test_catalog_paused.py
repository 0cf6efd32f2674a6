"""Task types that are paused through the API, as the definitions in force show them."""

from __future__ import annotations

import pytest

from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.store.catalog import StandingCatalog
from taskqueue.telemetry.scheduler_events import CatalogSucceeded, TasksPaused
from tests.support.catalog_watching import polled
from tests.support.scheduling import EventLog, TasksFile, task_of, task_type


def enabled(watch: CatalogWatch) -> dict[str, bool]:
    return {task_id: task.enabled for task_id, task in watch.tasks.items()}


def test_a_paused_task_type_is_in_force_as_if_the_file_disabled_it(watch: CatalogWatch, events: EventLog) -> None:
    before = watch.revision
    watch.pause(frozenset({"a", "unknown"}))
    assert enabled(watch) == {"a": False, "b": True, "c": True}
    assert watch.revision != before
    assert watch.changed.is_set()
    assert events.of(TasksPaused) == [TasksPaused(paused=("a",))]


def test_a_task_type_that_is_resumed_is_in_force_as_before(watch: CatalogWatch) -> None:
    before = dict(watch.tasks), watch.revision
    watch.pause(frozenset({"a"}))
    watch.pause(frozenset())
    assert (dict(watch.tasks), watch.revision) == before


def test_the_same_pause_again_is_no_news(watch: CatalogWatch, events: EventLog) -> None:
    for _ in range(3):
        watch.pause(frozenset({"a"}))
    assert len(events.of(TasksPaused)) == 1


async def test_a_pause_survives_a_reload(watch: CatalogWatch, file: TasksFile) -> None:
    watch.pause(frozenset({"a", "new"}))
    file.write(task_type("a", priority="high"), task_type("b"), task_type("new"))
    await polled(watch, 2)
    assert enabled(watch) == {"a": False, "b": True, "new": False}
    assert watch.paused == {"a", "new"}


async def test_what_the_file_disables_is_off_for_another_reason(watch: CatalogWatch, file: TasksFile) -> None:
    watch.pause(frozenset({"a"}))
    file.write(task_type("a", enabled=False), task_type("b"), task_type("c"))
    await polled(watch, 2)
    assert watch.paused == frozenset()


@pytest.mark.parametrize("paused", [frozenset(), frozenset({"a"})])
def test_a_new_leader_that_knows_what_is_paused_finds_nothing_else(
    watch: CatalogWatch, events: EventLog, paused: frozenset[str]
) -> None:
    watch.pause(paused)
    watch.succeed(StandingCatalog(tasks=dict(watch.tasks), written_by="first"))
    assert events.of(CatalogSucceeded) == []


def test_a_task_that_a_short_file_has_dropped_goes_on_when_it_is_resumed(watch: CatalogWatch) -> None:
    tasks = {
        task_id: task_of(task_type(task_id, enabled=task_id != "old-0")) for task_id in map("old-{}".format, range(9))
    }
    watch.pause(frozenset({"old-0"}))
    watch.succeed(StandingCatalog(tasks=tasks, written_by="first"))
    assert enabled(watch)["old-0"] is False
    watch.pause(frozenset())
    assert enabled(watch)["old-0"] is True
