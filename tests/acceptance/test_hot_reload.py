"""A changed tasks.yaml counts within seconds; one that cannot be used changes nothing and is told."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path

import pytest
import yaml

from taskqueue.config.catalog import load_catalog
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
async def running(shared_system: System) -> tuple[Process, Process]:
    _write(shared_system, "/first")
    return await shared_system.scheduler_and_worker()


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


@pytest.fixture
def worker(running: tuple[Process, Process]) -> Process:
    return running[1]


def _write(system: System, path: str, *more: str) -> None:
    system.write_tasks(system.task("report", path), *(system.task(task_id) for task_id in more))


async def _called_path(system: System, scheduler: Process, worker: Process) -> str:
    (user,) = new_users(1)
    await trigger(scheduler, "report", [user])
    await worker.wait_for("job_settled", user_id=user, status="success")
    (call,) = system.calls(user=user)
    return call.path


async def _refused(scheduler: Process, mark: int) -> str:
    line = await scheduler.wait_for("catalog_reloaded", after=mark, ok=False)
    health = (await scheduler.http.get("/health")).json()
    assert health["status"] == "healthy"
    assert health["tasks"]["error"] == line["error"]
    assert line["level"] == "error"
    return str(line["error"])


BROKEN = {
    "no YAML": ("tasks: [", "tasks.yaml:"),
    "another document": ("- 1\n", "tasks.yaml"),
    "empty": ("", "tasks.yaml"),
    "an unknown key": ("tasks:\n  - id: report\n    every: 5m\n", "tasks.yaml:"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_file_keeps_the_old_and_names_the_place(
    shared_system: System, scheduler: Process, worker: Process, name: str
) -> None:
    content, place = BROKEN[name]
    _write(shared_system, "/first")
    await _in_force(shared_system, scheduler)
    mark = len(scheduler.lines)

    shared_system.tasks_file.write_text(content, encoding="utf-8")
    error = await _refused(scheduler, mark)

    assert place in error
    assert await _called_path(shared_system, scheduler, worker) == "/first"


async def test_a_half_written_file_keeps_the_old(shared_system: System, scheduler: Process, worker: Process) -> None:
    _write(shared_system, "/first")
    await _in_force(shared_system, scheduler)
    mark = len(scheduler.lines)

    whole = shared_system.tasks_file.read_text(encoding="utf-8")
    shared_system.tasks_file.write_text(whole[: len(whole) // 2], encoding="utf-8")
    await _refused(scheduler, mark)

    assert await _called_path(shared_system, scheduler, worker) == "/first"


async def test_a_deleted_file_keeps_the_old(shared_system: System, scheduler: Process, worker: Process) -> None:
    _write(shared_system, "/first")
    await _in_force(shared_system, scheduler)
    mark = len(scheduler.lines)

    shared_system.tasks_file.unlink()
    await _refused(scheduler, mark)

    assert await _called_path(shared_system, scheduler, worker) == "/first"


async def test_a_pipe_in_its_place_holds_nobody_up(shared_system: System, scheduler: Process, worker: Process) -> None:
    _write(shared_system, "/first")
    await _in_force(shared_system, scheduler)
    mark = len(scheduler.lines)

    shared_system.tasks_file.unlink()
    os.mkfifo(shared_system.tasks_file)
    try:
        error = await _refused(scheduler, mark)
        path = await _called_path(shared_system, scheduler, worker)
    finally:
        shared_system.tasks_file.unlink()  # whoever writes to it would wait for a reader

    assert "not a regular file" in error
    assert path == "/first"


async def test_a_file_that_drops_most_tasks_is_refused(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    _write(shared_system, "/first", "second", "third")
    await _in_force(shared_system, scheduler)
    mark = len(scheduler.lines)

    _write(shared_system, "/only")
    error = await _refused(scheduler, mark)

    assert "allow_mass_delete" in error
    assert await _called_path(shared_system, scheduler, worker) == "/first"


async def test_a_refused_file_shows_in_the_metrics_until_it_is_mended(
    shared_system: System, scheduler: Process
) -> None:
    mark = len(scheduler.lines)
    shared_system.tasks_file.write_text("tasks: [", encoding="utf-8")
    await _refused(scheduler, mark)
    broken = await _reload_gauge(scheduler)

    _write(shared_system, "/first", "second", "third")
    await _in_force(shared_system, scheduler)

    assert broken == 0
    assert await _reload_gauge(scheduler) == 1


async def test_a_mended_file_takes_effect_in_scheduler_and_worker(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    mark = len(worker.lines)

    _write(shared_system, "/second", "second", "third", "fourth")
    revision = await _in_force(shared_system, scheduler)
    await worker.wait_for("catalog_reloaded", after=mark, revision=revision)

    assert await _called_path(shared_system, scheduler, worker) == "/second"


def _in_two_pieces(path: Path, content: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.truncate()
        file.write(content[:100])
        os.fsync(file.fileno())
        file.write(content[100:])


def _by_a_rename(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


def _as_an_editor_saves(path: Path, content: bytes) -> None:
    backup = path.rename(path.with_name("tasks.yaml~"))
    path.write_bytes(content)
    backup.unlink()


def _as_a_config_map(path: Path, content: bytes) -> None:
    # What is mounted is a link to ..data/tasks.yaml, and ..data one to the directory of a version.
    data = path.with_name("..data")
    for version in (path.read_bytes(), content):
        directory = Path(tempfile.mkdtemp(prefix="..", dir=path.parent))
        (directory / path.name).write_bytes(version)
        swap = path.with_name("..data_tmp")
        swap.symlink_to(directory.name)
        swap.replace(data)
        if not path.is_symlink():
            path.unlink()
            path.symlink_to(f"{data.name}/{path.name}")


WAYS = {
    "in place, in two pieces": _in_two_pieces,
    "by a rename": _by_a_rename,
    "as an editor saves it": _as_an_editor_saves,
    "as a ConfigMap": _as_a_config_map,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_file_takes_effect_in_whichever_way_it_is_written(
    shared_system: System, scheduler: Process, way: str
) -> None:
    path = f"/{uuid.uuid4().hex}"
    tasks = [shared_system.task("report", path), *map(shared_system.task, ("second", "third", "fifth"))]

    try:
        WAYS[way](shared_system.tasks_file, yaml.safe_dump({"tasks": tasks}).encode())
        await _in_force(shared_system, scheduler)
    finally:
        shared_system.tasks_file.unlink()  # it may be a link by now
    shared_system.write_tasks(*tasks)


async def test_jobs_on_their_way_call_the_new_endpoint_and_stop_when_their_task_is_disabled(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    users = new_users(40)

    async def change(path: str, **fields: object) -> float:
        mark = len(worker.lines)
        others = map(shared_system.task, ("report", "second", "third", "fifth"))
        shared_system.write_tasks(shared_system.task("spread", path, **fields), *others)
        revision = await _in_force(shared_system, scheduler)
        await worker.wait_for("catalog_reloaded", after=mark, revision=revision)
        return time.time()

    async def called(path: str, count: int) -> bool:
        return len([call for call in shared_system.calls(task="spread") if call.path == path]) >= count

    await change("/first", distribution_window="8s")
    await trigger(scheduler, "spread", users, immediately=False)
    await eventually(lambda: called("/first", 2))
    moved_at = await change("/second", distribution_window="1h")
    await eventually(lambda: called("/second", 2))
    stopped_at = await change("/third", enabled=False)

    async def over() -> bool:
        ended = len(shared_system.calls(task="spread")) + len(worker.events("job_skipped", reason="task_disabled"))
        return ended >= len(users)

    await eventually(over, within=20)
    calls = shared_system.calls(task="spread")
    skipped = [line["user_id"] for line in worker.events("job_skipped", reason="task_disabled")]
    assert sorted([*(call.headers["x-taskqueue-user"] for call in calls), *skipped]) == sorted(users)
    assert {call.path for call in calls if call.at < moved_at} <= {"/first", "/second"}
    assert {call.path for call in calls if call.at > moved_at + 0.5} == {"/second"}
    assert [call for call in calls if call.at > stopped_at + 0.5] == []
    assert shared_system.failed.messages == []


async def _in_force(system: System, scheduler: Process) -> str:
    """Return the revision of the file as it is now, once the scheduler has taken it over."""
    revision = load_catalog(system.tasks_file).revision

    async def taken_over() -> bool:
        tasks = (await scheduler.http.get("/health")).json()["tasks"]
        return tasks["error"] is None and tasks["revision"] == revision

    await eventually(taken_over)
    return revision


async def _reload_gauge(scheduler: Process) -> float:
    text = (await scheduler.http.get("/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("taskqueue_config_last_reload_successful "))
    return float(line.split()[1])
