from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from taskqueue.errors import ConfigError
from taskqueue.scheduler import catalog_watch
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.file_look import FileLook, Signature
from taskqueue.telemetry.events import CatalogReloaded
from tests.support.catalog_watching import errors, polled, write_broken
from tests.support.scheduling import EventLog, TasksFile, task_type


def test_it_begins_with_the_file_as_it_is(watch: CatalogWatch, events: EventLog) -> None:
    (told,) = events.of(CatalogReloaded)

    assert (list(watch.tasks), watch.error) == (["a", "b", "c"], None)
    assert (told.ok, told.revision, told.tasks) == (True, watch.revision, 3)


def test_it_does_not_begin_without_a_file(tmp_path: Path, events: EventLog) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.yaml"):
        TasksFile(tmp_path / "tasks.yaml").watch(events)


def test_it_does_not_begin_with_an_invalid_file(file: TasksFile, events: EventLog) -> None:
    write_broken(file)

    with pytest.raises(ConfigError, match=r"tasks\.yaml"):
        file.watch(events)


def test_it_does_not_begin_with_a_pipe_nor_wait_for_its_writer(tmp_path: Path, events: EventLog) -> None:
    os.mkfifo(tmp_path / "tasks.yaml")

    with pytest.raises(ConfigError, match=r"tasks\.yaml: not a regular file"):
        TasksFile(tmp_path / "tasks.yaml").watch(events)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "tasks.yaml/tasks.yaml"])
def test_it_does_not_begin_with_a_path_that_cannot_be(tmp_path: Path, events: EventLog, name: str) -> None:
    TasksFile(tmp_path / "tasks.yaml").write(task_type("a"))

    with pytest.raises(ConfigError, match=r"cannot be read: .*; check the path"):
        TasksFile(tmp_path / name).watch(events)


async def test_an_unchanged_file_is_no_news(watch: CatalogWatch, events: EventLog) -> None:
    await polled(watch, 5)

    assert len(events.events) == 1
    assert not watch.changed.is_set()


async def test_an_edit_in_place_is_taken_over(watch: CatalogWatch, file: TasksFile, events: EventLog) -> None:
    revision = watch.revision
    file.write(task_type("a"), task_type("b"), task_type("delta"))

    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "delta"]
    assert watch.revision != revision
    assert watch.changed.is_set()
    assert events.of(CatalogReloaded)[-1] == CatalogReloaded(ok=True, revision=watch.revision, tasks=3, removed=("c",))


async def test_a_file_that_replaces_it_is_taken_over(watch: CatalogWatch, file: TasksFile) -> None:
    new = TasksFile(file.path.with_suffix(".new"))
    new.write(*(task_type(name) for name in "abcd"))
    new.path.replace(file.path)

    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "c", "d"]


async def test_a_replacement_of_the_same_size_and_time_is_noticed(watch: CatalogWatch, file: TasksFile) -> None:
    new, status = TasksFile(file.path.with_suffix(".new")), file.path.stat()
    new.write(task_type("a"), task_type("b"), task_type("d"))
    os.utime(new.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert new.path.stat().st_size == status.st_size
    new.path.replace(file.path)

    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "d"]


async def test_a_copy_over_it_that_keeps_size_and_time_is_noticed(watch: CatalogWatch, file: TasksFile) -> None:
    after = before = file.path.stat()
    until = time.monotonic() + 5
    while after.st_ctime_ns == before.st_ctime_ns:  # the clock of file systems ticks in milliseconds
        assert time.monotonic() < until
        file.write(task_type("a"), task_type("b"), task_type("d"))
        os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = file.path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)

    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "d"]


async def test_a_file_system_that_does_not_answer_is_told_and_waited_for_by_one_thread(
    watch: CatalogWatch, file: TasksFile, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, looks, look_again = threading.Event(), list[Path](), catalog_watch.look_again

    def hangs(path: Path, known: Signature | None) -> FileLook | None:
        looks.append(path)
        answers.wait(10)
        return look_again(path, known)

    monkeypatch.setattr(catalog_watch, "look_again", hangs)
    monkeypatch.setattr(catalog_watch, "_LOOK_WITHIN_S", 0.01)
    await polled(watch, 3)

    assert len(looks) == 1
    assert "its file system does not answer" in str(watch.error)
    assert len(errors(events)) == 1

    answers.set()
    monkeypatch.undo()
    file.write(*(task_type(name) for name in "abcd"))
    await polled(watch, 4)

    assert (list(watch.tasks), watch.error) == (["a", "b", "c", "d"], None)


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_file_from_another_time_is_taken_over(watch: CatalogWatch, file: TasksFile, seconds: int) -> None:
    then = file.path.stat().st_mtime + seconds
    file.write(*(task_type(name) for name in "abcd"))
    os.utime(file.path, (then, then))

    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "c", "d"]


async def test_a_config_map_that_swaps_its_symlink_is_taken_over(tmp_path: Path, events: EventLog) -> None:
    # As Kubernetes does: tasks.yaml -> ..data/tasks.yaml, and ..data -> a new directory for each version.
    for version, names in (("v1", "ab"), ("v2", "abc")):
        (tmp_path / version).mkdir()
        TasksFile(tmp_path / version / "tasks.yaml").write(*(task_type(name) for name in names))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "tasks.yaml").symlink_to("..data/tasks.yaml")
    watch = TasksFile(tmp_path / "tasks.yaml").watch(events)

    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    await polled(watch)

    assert list(watch.tasks) == ["a", "b", "c"]


async def test_one_look_at_a_changed_file_is_not_enough(watch: CatalogWatch, file: TasksFile) -> None:
    file.write(task_type("a"), task_type("b"))

    await polled(watch, 1)

    assert list(watch.tasks) == ["a", "b", "c"]


async def test_a_file_that_is_still_being_written_is_not_judged(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    file.write(*(task_type(name) for name in "abcd"))
    whole = file.path.read_text(encoding="utf-8")
    for part in (0.2, 0.5, 0.9, 1.0):
        file.path.write_text(whole[: int(len(whole) * part)], encoding="utf-8")
        await polled(watch, 1)
        assert list(watch.tasks) == ["a", "b", "c"]

    await polled(watch, 1)

    assert list(watch.tasks) == ["a", "b", "c", "d"]
    assert errors(events) == []


async def test_an_invalid_file_leaves_the_last_good_version_in_force(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    revision = watch.revision
    write_broken(file)

    await polled(watch, 6)

    (error,) = errors(events)
    assert (list(watch.tasks), watch.revision, watch.error) == (["a", "b", "c"], revision, error)
    assert "sometimes" in str(error) or "tasks.yaml:1:" in str(error)


async def test_another_mistake_is_told_as_well(watch: CatalogWatch, file: TasksFile, events: EventLog) -> None:
    write_broken(file)
    await polled(watch, 3)
    file.path.write_text("nothing: true\n", encoding="utf-8")

    await polled(watch, 3)

    assert len(set(errors(events))) == len(errors(events)) == 2


async def test_a_repaired_file_clears_the_error(watch: CatalogWatch, file: TasksFile, events: EventLog) -> None:
    write_broken(file)
    await polled(watch)
    file.write(*(task_type(name) for name in "abcd"))

    await polled(watch)

    assert (watch.error, list(watch.tasks)) == (None, ["a", "b", "c", "d"])
    assert events.of(CatalogReloaded)[-1].ok


async def test_going_back_to_the_version_in_force_clears_the_error(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    good = file.path.read_bytes()
    write_broken(file)
    await polled(watch)
    file.path.write_bytes(good)

    await polled(watch)

    assert (watch.error, events.of(CatalogReloaded)[-1].ok) == (None, True)


async def test_a_deleted_file_leaves_the_last_good_version_in_force(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    file.path.unlink()

    await polled(watch, 4)

    assert list(watch.tasks) == ["a", "b", "c"]
    (error,) = errors(events)
    assert str(error) == (
        f"{file.path}: cannot be read: No such file or directory; check the path and its permissions; "
        "the last good version stays in force"
    )


async def test_a_file_that_is_gone_for_one_look_is_not_told(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    # As vim saves where it keeps a backup: the old file goes out of the way before the new one is written.
    backup = file.path.rename(file.path.with_name("tasks.yaml~"))
    await polled(watch, 1)
    file.write(*(task_type(name) for name in "abcd"))
    backup.unlink()

    await polled(watch)

    assert (list(watch.tasks), errors(events)) == (["a", "b", "c", "d"], [])


async def test_the_very_same_file_come_back_clears_the_error(watch: CatalogWatch, file: TasksFile) -> None:
    aside = file.path.rename(file.path.with_suffix(".aside"))
    await polled(watch)
    aside.rename(file.path)

    await polled(watch)

    assert watch.error is None


async def test_a_file_that_cannot_be_read_leaves_the_last_good_version_in_force(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    file.path.unlink()
    file.path.mkdir()
    await polled(watch, 4)
    assert (list(watch.tasks), len(errors(events))) == (["a", "b", "c"], 1)

    file.path.rmdir()
    file.write(*(task_type(name) for name in "abcd"))
    await polled(watch)

    assert (watch.error, len(watch.tasks)) == (None, 4)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a directory"])
async def test_what_is_no_regular_file_is_told_and_not_waited_for(
    watch: CatalogWatch, file: TasksFile, events: EventLog, kind: str
) -> None:
    file.path.unlink()
    match kind:
        case "a pipe":
            os.mkfifo(file.path)
        case "a device":
            file.path.symlink_to("/dev/zero")
        case _:
            file.path.mkdir()

    async with asyncio.timeout(10):
        await polled(watch, 4)

    (error,) = errors(events)
    assert list(watch.tasks) == ["a", "b", "c"]
    assert "not a regular file" in str(error)


async def test_of_a_file_without_end_no_more_is_read_than_may_be(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    with file.path.open("r+b") as huge:
        huge.truncate(1 << 40)

    async with asyncio.timeout(10):
        await polled(watch, 4)

    (error,) = errors(events)
    assert list(watch.tasks) == ["a", "b", "c"]
    assert "larger than" in str(error)


async def test_of_thousands_of_mistakes_the_first_are_told(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    file.path.write_text("tasks:\n" + "  - {}\n" * 2000, encoding="utf-8")

    await polled(watch)

    (error,) = errors(events)
    lines = str(error).splitlines()
    assert lines[0].startswith("tasks.yaml:2:")
    assert (len(lines), lines[-1]) == (21, "and 5,980 more; taskqueue config validate shows more of them")


async def test_a_new_order_or_comment_is_no_news(watch: CatalogWatch, file: TasksFile, events: EventLog) -> None:
    file.write(task_type("c"), task_type("b"), task_type("a"))

    await polled(watch, 4)

    assert len(events.events) == 1


async def test_losing_more_than_half_of_the_tasks_is_refused(
    watch: CatalogWatch, file: TasksFile, events: EventLog
) -> None:
    file.write(task_type("a"))

    await polled(watch, 4)

    assert list(watch.tasks) == ["a", "b", "c"]
    assert errors(events) == [watch.error]
    assert "2 of 3 tasks are gone" in str(watch.error)
    assert "tasks.allow_mass_delete: true" in str(watch.error)


async def test_losing_half_of_the_tasks_is_taken_over(tmp_path: Path, events: EventLog) -> None:
    file = TasksFile(tmp_path / "tasks.yaml")
    file.write(task_type("a"), task_type("b"))
    watch = file.watch(events, allow_mass_delete=False)
    file.write(task_type("a"))

    await polled(watch)

    assert list(watch.tasks) == ["a"]


async def test_losing_all_tasks_is_taken_over_where_that_is_meant(file: TasksFile, events: EventLog) -> None:
    watch = file.watch(events, allow_mass_delete=True)
    file.write()

    await polled(watch)

    assert dict(watch.tasks) == {}
    assert events.of(CatalogReloaded)[-1].removed == ("a", "b", "c")


async def test_the_only_task_may_get_another_name(tmp_path: Path, events: EventLog) -> None:
    file = TasksFile(tmp_path / "tasks.yaml")
    file.write(task_type("a"))
    watch = file.watch(events, allow_mass_delete=False)
    file.write(task_type("b"))

    await polled(watch)

    assert list(watch.tasks) == ["b"]
