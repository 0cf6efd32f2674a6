from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from task_scheduler._settings import VERSION

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_sdk_stands_on_httpx_alone(path: Path) -> None:
    foreign = imported(path) - sys.stdlib_module_names - {"task_scheduler"}

    assert foreign <= {"httpx", "httpcore"}


def test_what_is_imported_is_what_is_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {re.split(r"[<>=]", each)[0] for each in project["dependencies"]} == {"httpx", "httpcore"}
    assert (ROOT / "src" / "task_scheduler" / "py.typed").is_file()


def test_a_wheel_of_it_is_complete(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True,
        check=True,
        timeout=60,
    )

    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"task_scheduler_sdk-{VERSION}-py3-none-any.whl"
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("task_scheduler/")}
    assert packed == {str(path.relative_to(ROOT / "src")) for path in SOURCES} | {"task_scheduler/py.typed"}


PROGRAM = """
from datetime import UTC, datetime
from typing import assert_type

from task_scheduler import AsyncTaskSchedulerClient, NotFoundError, Task, TaskDetails, TaskRow, TaskSchedulerClient


def blocking(client: TaskSchedulerClient) -> str:
    made = client.create_task(task_name="n", task_type="one_time", next_execution_time=datetime.now(UTC), payload=[1])
    assert_type(made, Task)
    task = client.get_task(made.task_id)
    assert_type(task, TaskDetails)
    if task.status == "paused":
        client.resume_task(task.task_id, idempotency_key="k")
    client.update_task(task.task_id, if_match=task.etag, priority=task.priority)
    for row in client.iterate_tasks(status="scheduled", tag=["a:b"]):
        assert_type(row, TaskRow)
    try:
        return client.get_executions(task.task_id, limit=10)[0].status
    except NotFoundError as error:
        return error.code or error.detail or str(error.status)


async def asynchronous(client: AsyncTaskSchedulerClient) -> int:
    made = await client.create_task(task_name="n", task_type="cron", schedule_expression="@daily")
    assert_type(made, Task)
    async for row in client.iterate_tasks():
        assert_type(row, TaskRow)
    return (await client.list_workers()).total
"""

WRONG = {
    'client.create_task(task_name="n")': "Missing named argument",
    'client.create_task(task_name="n", task_type="weekly")': "incompatible type",
    'client.update_task("t", enabled="yes")': "incompatible type",
    'client.list_tasks(sort="name")': "Unexpected keyword argument",
    "client.get_task(7)": "incompatible type",
    'client.get_task("t").nmae': "has no attribute",
    'client.get_task("t").status == "sheduled"': "Non-overlapping equality check",
}


def test_programs_of_users_are_checked_by_mypy(tmp_path: Path) -> None:
    example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    wrong = "from task_scheduler import TaskSchedulerClient\n\ndef f(client: TaskSchedulerClient) -> None:\n"
    for name, text in {
        "right": PROGRAM,
        "blocking_example": example[0],
        "asyncio_example": example[1],
        "wrong": wrong + "".join(f"    {line}\n" for line in WRONG),
    }.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\nmypy_path = {ROOT / 'src'}\n", encoding="utf-8")

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache", *sorted(tmp_path.glob("*.py"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert [line for line in lines if not line.startswith("wrong.py")] == [], checked.stdout + checked.stderr
    for number, (line, said) in enumerate(WRONG.items(), 4):
        assert any(each.startswith(f"wrong.py:{number}:") and said in each for each in lines), (line, checked.stdout)
