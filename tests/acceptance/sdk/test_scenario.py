"""The three SDKs go through the same scenario, and decode each answer as openapi.json says; the examples of Python."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.sdk_drivers import LANGUAGES, driver
from tests.support.sdk_programs import SDK, run_program
from tests.support.sdk_recorder import recorder
from tests.support.sdk_scenario import STEPS, Run
from tests.support.sdk_schema import operations
from tests.support.sdk_system import SdkApi

_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

#: what the API takes is a MiB
_LONG_TEXT = "x" * 1_100_000


@pytest.mark.timeout(180)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_step_has_the_fields_of_the_answer_and_each_operation_is_reached(
    language: str, sdk_api: SdkApi
) -> None:
    keys = {"read": sdk_api.read_token, "nobody": "nobody-has-made-this-one"}
    saved = {
        "run": language,
        "file_task": "nightly_cleanup",
        "blocking": sdk_api.running.system.target.url + "/hang",
        "long_text": _LONG_TEXT,
    }
    wrong: list[str] = []

    async with recorder(sdk_api.url) as passed, driver(language, passed.url, sdk_api.token) as sdk:
        run = Run(driver=sdk, recorder=passed, keys=keys, saved=saved)
        for step in STEPS:
            wrong += [f"{step['name']}: {each}" for each in await run.take(step)]

    assert not wrong, "\n".join(wrong)
    assert run.reached == set(operations())
    written = "".join(sdk.written)
    assert not [key for key in (sdk_api.token, *keys.values()) if key in written]


async def test_the_documents_example_in_python_runs_as_it_stands(sdk_api: SdkApi, tmp_path: Path) -> None:
    created, status, following, triggered = await _lines(_example(0, sdk_api), tmp_path)

    task_id = created.removeprefix("Task created: ")
    assert re.fullmatch(_ID, task_id)
    assert status == "Status: scheduled"
    assert re.fullmatch(r"Next execution: \d{4}-\d\d-\d\d \d\d:00:00\+00:00", following)
    assert re.fullmatch(f"Triggered execution: {_ID}", triggered)
    await sdk_api.running.client.get(f"/tasks/{task_id}", 404)


async def test_the_example_with_asyncio_waits_for_its_run(sdk_api: SdkApi, tmp_path: Path) -> None:
    first, *tasks = await _lines(_example(1, sdk_api), tmp_path)

    assert first.startswith("success: {'records_processed': 10000, 'outputFile': 's3://bucket/report.pdf'")
    assert any(re.fullmatch(r"report \d{4}-\d\d-\d\d 00:00:00\+00:00", line) for line in tasks), tasks


def _example(number: int, api: SdkApi) -> str:
    readme = (SDK / "python" / "README.md").read_text(encoding="utf-8")
    example: str = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[number]
    return api.filled(example)


async def _lines(program: str, directory: Path) -> list[str]:
    path = directory / "example.py"
    path.write_text(program, encoding="utf-8")
    environment = {"PYTHONPATH": str(SDK / "python" / "src"), "PYTHONWARNINGS": "error"}
    return (await run_program(sys.executable, str(path), cwd=directory, environment=environment)).splitlines()
