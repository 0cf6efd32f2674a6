"""What a new leader does with its file and the tasks that the leader before it had put in force."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.store.catalog import StandingCatalog
from taskqueue.telemetry.events import CatalogReloaded
from taskqueue.telemetry.scheduler_events import CatalogSucceeded
from tests.support.catalog_watching import errors, polled, write_broken
from tests.support.scheduling import EventLog, TasksFile, task_of, task_type


def standing(*task_ids: str, unreadable: tuple[str, ...] = (), **fields: object) -> StandingCatalog:
    tasks = {task_id: task_of(task_type(task_id, **fields)) for task_id in task_ids}
    return StandingCatalog(tasks=tasks, unreadable=frozenset(unreadable), written_by="first")


@pytest.mark.parametrize("before", [standing(), standing("a", "b", "c")], ids=["nothing", "the same"])
def test_a_new_leader_that_finds_nothing_else_goes_by_its_file(
    watch: CatalogWatch, events: EventLog, before: StandingCatalog
) -> None:
    watch.succeed(before)

    assert (sorted(watch.tasks), watch.error) == (["a", "b", "c"], None)
    assert events.of(CatalogSucceeded) == []


def test_a_new_leader_tells_in_what_its_file_differs(watch: CatalogWatch, events: EventLog) -> None:
    watch.succeed(standing("b", "c", "gone", priority="high"))

    assert (sorted(watch.tasks), watch.error) == (["a", "b", "c"], None)
    assert events.of(CatalogSucceeded) == [
        CatalogSucceeded(written_by="first", added=1, changed=2, removed=("gone",), refused=False)
    ]


def test_a_file_that_drops_most_tasks_of_the_leader_before_leaves_those_in_force(
    watch: CatalogWatch, events: EventLog
) -> None:
    before = standing("a", *(f"task-{number}" for number in range(5)))

    watch.succeed(before)

    assert dict(watch.tasks) == before.tasks
    assert "5 of 6 tasks are gone" in str(watch.error)
    assert "tasks.allow_mass_delete: true" in str(watch.error)
    assert [event.refused for event in events.of(CatalogSucceeded)] == [True]
    assert errors(events) == [watch.error]


def test_tasks_of_a_newer_scheduler_count_as_well_and_are_those_of_the_file(watch: CatalogWatch) -> None:
    watch.succeed(standing("x", "y", unreadable=("a", "z", "other")))

    assert sorted(watch.tasks) == ["a", "x", "y"]
    assert "4 of 5 tasks are gone" in str(watch.error)


def test_a_file_that_drops_most_tasks_counts_where_that_is_meant(file: TasksFile, events: EventLog) -> None:
    watch = file.watch(events, allow_mass_delete=True)

    watch.succeed(standing("x", "y"))

    assert (sorted(watch.tasks), watch.error) == (["a", "b", "c"], None)


async def test_a_better_file_takes_over_from_the_tasks_of_the_leader_before(
    watch: CatalogWatch, file: TasksFile
) -> None:
    watch.succeed(standing("x", "y", "z"))
    file.write(task_type("x"), task_type("y"), task_type("new"))

    await polled(watch)

    assert (sorted(watch.tasks), watch.error) == (["new", "x", "y"], None)


async def test_the_refused_file_stays_refused_when_it_is_touched(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    watch.succeed(standing("x", "y", "z"))
    file.path.touch()

    await polled(watch)

    assert sorted(watch.tasks) == ["x", "y", "z"]
    assert len(errors(events)) == 1


async def refused_here(file: TasksFile, events: EventLog) -> CatalogWatch:
    """Return a watch that refused a file with one task of three."""
    watch = file.watch(events, allow_mass_delete=False)
    await file.change(watch, task_type("a"))
    return watch


async def test_what_was_refused_here_and_is_in_force_elsewhere_is_taken_over(file: TasksFile, events: EventLog) -> None:
    watch = await refused_here(file, events)

    watch.succeed(standing("a"))

    assert (list(watch.tasks), watch.error) == (["a"], None)
    assert events.of(CatalogSucceeded) == []
    assert (events.of(CatalogReloaded)[-1].ok, events.of(CatalogReloaded)[-1].removed) == (True, ("b", "c"))


@pytest.mark.parametrize("before", [standing(), standing("a", "b", "c")], ids=["nothing", "all tasks"])
async def test_what_was_refused_here_and_is_in_force_nowhere_stays_refused(
    file: TasksFile, events: EventLog, before: StandingCatalog
) -> None:
    watch = await refused_here(file, events)

    watch.succeed(before)

    assert sorted(watch.tasks) == ["a", "b", "c"]
    assert "2 of 3 tasks are gone" in str(watch.error)


async def test_what_is_wrong_with_the_file_since_is_still_told(file: TasksFile, events: EventLog) -> None:
    watch = await refused_here(file, events)
    write_broken(file)
    await polled(watch)

    watch.succeed(standing("a"))

    assert list(watch.tasks) == ["a"]
    assert "sometimes" in str(watch.error)


async def test_a_short_file_that_was_refused_at_a_succession_counts_once_another_leader_has_it_in_force(
    watch: CatalogWatch,
) -> None:
    watch.succeed(standing("a", *(f"task-{number}" for number in range(9))))

    watch.succeed(standing("a", "b", "c"))

    assert (sorted(watch.tasks), watch.error) == (["a", "b", "c"], None)


async def test_a_file_that_was_taken_over_since_is_not_undone(file: TasksFile, events: EventLog) -> None:
    watch = await refused_here(file, events)
    await file.change(watch, task_type("a"), task_type("b"))

    watch.succeed(standing("a"))

    assert sorted(watch.tasks) == ["a", "b"]


async def test_most_tasks_can_be_taken_out_in_steps(watch: CatalogWatch, file: TasksFile) -> None:
    await file.change(watch, task_type("a"))
    await file.change(watch, task_type("a"), task_type("b"))
    await file.change(watch, task_type("a"))

    assert (list(watch.tasks), watch.error) == (["a"], None)


def test_with_nothing_readable_before_it_the_file_counts(watch: CatalogWatch) -> None:
    watch.succeed(standing(unreadable=("x", "y")))

    assert (sorted(watch.tasks), watch.error) == (["a", "b", "c"], None)


async def test_the_definitions_of_removed_tasks_stay_for_their_jobs(watch: CatalogWatch, file: TasksFile) -> None:
    before = watch.tasks["c"]
    file.write(task_type("a"), task_type("b"))
    await polled(watch)

    assert (list(watch.tasks), watch.definitions.keys(), watch.definitions["c"]) == (["a", "b"], {*"abc"}, before)


async def test_a_task_that_comes_back_goes_by_its_new_definition(watch: CatalogWatch, file: TasksFile) -> None:
    file.write(task_type("a"), task_type("b"))
    await polled(watch)
    file.write(task_type("a"), task_type("b"), task_type("c", priority="high"))
    await polled(watch)

    assert watch.definitions == watch.tasks


def test_a_new_leader_knows_the_tasks_that_are_gone_by_the_file_and_those_that_went_before(
    watch: CatalogWatch,
) -> None:
    (gone, went) = (replace(watch.tasks["a"], id=name) for name in ("gone", "went"))
    watch.succeed(StandingCatalog(tasks={**watch.tasks, "gone": gone}, removed={"went": went}))

    assert watch.definitions == {**watch.tasks, "gone": gone, "went": went}
