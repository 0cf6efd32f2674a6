from __future__ import annotations

import re
from pathlib import Path

from tests.support.javascript_sdk import SDK
from tests.support.sdk_programs import require, run_program
from tests.support.sdk_system import SdkApi


async def test_the_documents_example_runs_as_it_stands(sdk_api: SdkApi, tmp_path: Path) -> None:
    require("javascript")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "task-scheduler-sdk").symlink_to(SDK)
    program = tmp_path / "example.mjs"
    program.write_text(_example(sdk_api), encoding="utf-8")

    created, status, triggered = (await run_program("node", str(program), cwd=tmp_path)).splitlines()

    task_id = created.removeprefix("Task created: ")
    assert re.fullmatch(r"[0-9a-f-]{36}", task_id)
    assert status == "Status: scheduled"
    assert re.fullmatch(r"Triggered execution: [0-9a-f-]{36}", triggered)
    await sdk_api.running.client.get(f"/tasks/{task_id}", 404)


def _example(api: SdkApi) -> str:
    readme = (SDK / "README.md").read_text(encoding="utf-8")
    example = readme.partition("## First program\n")[2].partition("```javascript\n")[2].partition("```\n")[0]
    return api.filled(example)
