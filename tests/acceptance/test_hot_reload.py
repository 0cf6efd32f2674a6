"""A changed tasks.yaml counts within seconds; one that cannot be used changes nothing and is told."""

from __future__ import annotations

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


async def test_a_file_that_is_replaced_by_a_rename_takes_effect(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    mark = len(worker.lines)
    tasks = [shared_system.task("report", "/third"), *map(shared_system.task, ("second", "third", "fifth"))]

    new = shared_system.tasks_file.with_suffix(".new")
    new.write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
    new.rename(shared_system.tasks_file)
    revision = await _in_force(shared_system, scheduler)
    await worker.wait_for("catalog_reloaded", after=mark, revision=revision)

    assert await _called_path(shared_system, scheduler, worker) == "/third"


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
