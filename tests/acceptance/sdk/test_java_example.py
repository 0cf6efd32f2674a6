"""The document's example in Java, run as it stands but for address, key, imports, and a class to stand in."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.support.java_sdk import JAVA_SDK, class_path
from tests.support.sdk_programs import run_program
from tests.support.sdk_system import SdkApi

_PROGRAM = """
import com.example.*;
import java.util.*;
{imports}

class Example {{
    public static void main(String[] arguments) {{
{statements}
    }}
}}
"""


async def test_the_example_of_the_document_runs_as_it_stands(sdk_api: SdkApi, tmp_path: Path) -> None:
    path = await asyncio.to_thread(class_path)
    program = tmp_path / "Example.java"
    program.write_text(_program(sdk_api), encoding="utf-8")

    output = await run_program("java", "-cp", path, str(program), cwd=tmp_path)

    created, status, triggered = output.splitlines()
    task_id = created.removeprefix("Task created: ")
    assert re.fullmatch(r"[0-9a-f-]{36}", task_id)
    assert status == "Status: scheduled"
    assert re.fullmatch(r"Triggered execution: [0-9a-f-]{36}", triggered)
    await sdk_api.running.client.get(f"/tasks/{task_id}", 404)


def _program(api: SdkApi) -> str:
    readme = (JAVA_SDK / "README.md").read_text(encoding="utf-8")
    example = readme.partition("## First program\n\n```java\n")[2].partition("```\n")[0]
    imports, _, statements = api.filled(example).partition("\n\n")
    return _PROGRAM.format(imports=imports, statements=statements)
