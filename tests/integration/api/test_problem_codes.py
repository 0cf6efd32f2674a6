"""Every `code` of a problem that the API can answer with is provoked by a test: here those that no other file meets."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from taskqueue.api.body import read_request
from taskqueue.api.problems import ProblemError
from taskqueue.config.api_sections import RestSettings
from taskqueue.core.task import Target
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.api_dependencies import MAX_DEPENDENCIES, MAX_DEPENDENTS
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.file_task_list import FileTaskList
from tests.support.api_caller import ApiCaller, api_caller
from tests.support.values import a_task

_ROOT = Path(__file__).resolve().parents[3]
_SOURCES = _ROOT / "taskqueue" / "api"
_TESTS = [folder / "api" for folder in (_ROOT / "tests").iterdir() if (folder / "api").is_dir()]


#: names by which assertions speak of the code of an answer
_ABOUT_CODES = {"code", "is_problem", "said"}


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


async def test_a_task_depends_on_a_hundred_others_at_most(caller: ApiCaller) -> None:
    child = await caller.create()
    tasks = [{"task_name": "parent", "task_type": "cron", "schedule_expression": "0 0 29 2 *"}] * (MAX_DEPENDENCIES + 1)
    parents = (await caller.post("/tasks/bulk", {"tasks": tasks}, 201))["task_ids"]

    for parent in parents[:-1]:
        await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent}, 201)
    problem = await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parents[-1]}, 409)

    assert problem["code"] == "too_many_dependencies"
    assert str(MAX_DEPENDENCIES) in problem["detail"]


async def test_a_task_on_which_ten_thousand_depend_takes_no_other(caller: ApiCaller) -> None:
    parent, child = await caller.create(), await caller.create()
    others = [f"other-{number}" for number in range(MAX_DEPENDENTS)]
    await caller.services.store.command("SADD", keys.api_dependents(parent), *others)

    problem = await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent}, 409)

    assert problem["code"] == "too_many_dependents"
    assert (await caller.get(f"/tasks/{child}/dependencies"))["dependencies"] == []


async def test_a_task_type_that_its_file_switches_off_is_not_resumed(caller: ApiCaller) -> None:
    services, token = caller.services, "t:1"
    target = Target(endpoint="https://api.example.com/report")
    tasks = {"daily_report": a_task(id="daily_report", target=target, enabled=False)}
    await services.store.command("SET", keys.LEASE, token)
    await CatalogStore(services.store, services.scripts).write(token, tasks, "1")
    await FileTaskList(services.store, services.scripts).write(token, tasks, frozenset(), caller.clock.now)

    problem = await caller.post("/tasks/daily_report/resume", status=409)

    assert problem["code"] == "off_in_file"


async def test_a_change_that_others_are_always_ahead_of_is_told_to_come_again(caller: ApiCaller) -> None:
    task_id = await caller.create()

    async def change(number: int) -> tuple[int, str]:
        answer = await caller.http.patch(f"/api/v1/tasks/{task_id}", json={"payload": number})
        return answer.status_code, answer.json().get("code", answer.headers.get("retry-after", ""))

    answers = await asyncio.gather(*map(change, range(60)))

    assert {status for status, _ in answers} == {200, 503}
    assert {code for status, code in answers if status == 503} == {"busy"}


async def test_a_body_that_breaks_off_is_a_bad_request() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    with pytest.raises(ProblemError) as caught:
        await read_request(request, RestSettings())

    assert (caught.value.status, caught.value.code) == (400, "bad_request")


# --- all of them ------------------------------------------------------------------------------------------------------


def test_every_code_is_provoked_by_a_test() -> None:
    codes = {code for path in _SOURCES.rglob("*.py") for code in _codes_in(_tree(path))}
    met = {text for folder in _TESTS for path in folder.glob("test_*.py") for text in _asserted_in(_tree(path))}

    assert len(codes) > 30
    assert codes - met == set()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _codes_in(tree: ast.Module) -> Iterator[str]:
    """Yield what a module passes as `code`, what its calls without one stand for, and the codes by status."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = [each.value for each in node.keywords if each.arg == "code"]
            yield from (each.value for each in given if isinstance(each, ast.Constant))
            if not given and isinstance(node.func, ast.Name) and node.func.id in _DEFAULTS:
                yield _DEFAULTS[node.func.id]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "_OWN":
            yield from (text for text, _ in ast.literal_eval(node.value).values())  # type: ignore[arg-type]  # it has one


def _asserted_in(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of each test that asserts something about a code, those of its parameters among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_is_about_code, ast.walk(node))):
            yield from _texts(node)


def _is_about_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) and any(
        (isinstance(each, ast.Constant) and each.value == "code")
        or (isinstance(each, ast.Attribute) and each.attr == "code")
        or (isinstance(each, ast.Name) and each.id in _ABOUT_CODES)
        for each in ast.walk(node)
    )


def _texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str | bytes):
            text = each.value if isinstance(each.value, str) else each.value.decode(errors="replace")
            # One test looks at the raw bytes of an answer.
            yield from (text, text.removeprefix('"code":"').removesuffix('"'))


def _defaults() -> Iterator[tuple[str, str]]:
    for node in _tree(_SOURCES / "problems.py").body:
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg == "code" and isinstance(default, ast.Constant):
                    yield node.name, str(default.value)


#: by the functions of problems.py, the code that they give without one
_DEFAULTS = dict(_defaults())
