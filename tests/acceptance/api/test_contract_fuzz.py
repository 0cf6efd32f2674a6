"""schemathesis against the whole system: requests made from the OpenAPI document, valid, invalid and in sequences.

All its checks are on: no answer is a 5xx, each is as the document says, what is invalid is refused, what was deleted is
gone, and nothing is done without a token.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.api_system import TOKEN, ApiSystem, api_system, url_of
from tests.support.system import System

_CHECKOUT = Path(__file__).resolve().parents[3]

SMOKE_S = 25
FULL_S = 420

#: cases at least
SMOKE_CASES = 250
FULL_CASES = 10_000

#: these are taken only with the ids of what is there, which the links of the document lead to
TAKEN = {
    ("PATCH", "/tasks/{task_id}"),
    ("POST", "/tasks/{task_id}/dependencies"),
    ("DELETE", "/tasks/{task_id}/dependencies/{dependency_id}"),
    ("POST", "/executions/{execution_id}/cancel"),
}


@pytest.fixture
async def fuzzed(shared_system: System) -> AsyncIterator[ApiSystem]:
    # Each operation is asked without a token that is valid, as fast as the machine can.
    async with api_system(shared_system, api={"api": {"max_failures": 10_000}}) as running:
        yield running


@pytest.mark.timeout(240)
async def test_the_api_keeps_to_its_document(fuzzed: ApiSystem, tmp_path: Path) -> None:
    report = await _run(fuzzed, tmp_path, seconds=SMOKE_S)
    if not _reached_all(report, SMOKE_CASES):  # on a machine that others use as well
        report = await _run(fuzzed, tmp_path, seconds=4 * SMOKE_S)

    _judge(report, fuzzed, SMOKE_CASES)
    sys.stdout.write(f"taken: {sorted(await _taken(fuzzed))}\n")


@pytest.mark.fuzz
@pytest.mark.timeout(FULL_S + 300)
async def test_the_api_keeps_to_its_document_over_ten_thousand_requests(fuzzed: ApiSystem, tmp_path: Path) -> None:
    report = await _run(fuzzed, tmp_path, seconds=FULL_S)

    _judge(report, fuzzed, FULL_CASES)
    assert await _taken(fuzzed) >= TAKEN


async def _taken(fuzzed: ApiSystem) -> set[tuple[str, str]]:
    """Return to which operations requests were taken: what is always refused is not tried."""
    text = (await fuzzed.process.http.get("/metrics")).text
    pattern = r'taskqueue_api_requests_total\{method="(\w+)",route="(?:/api/v1)?([^"]+)",status="2\d\d"\}'
    return set(re.findall(pattern, text))


def _reached_all(report: dict[str, Any], cases: int) -> bool:
    phases = {phase["status"] for phase in report["phases"].values()}
    return phases == {"success"} and report["test_cases"]["generated"] >= cases


def _judge(report: dict[str, Any], fuzzed: ApiSystem, cases: int) -> None:
    assert report["operations"]["tested"] == report["operations"]["total"] > 20
    assert _reached_all(report, cases), (report["phases"], report["test_cases"])
    assert fuzzed.process.events("request_failed") == []
    for process in (fuzzed.scheduler, fuzzed.worker):
        assert process.events("loop_failed") == []


async def _run(fuzzed: ApiSystem, directory: Path, *, seconds: int) -> dict[str, Any]:
    """Return the report of a run; whatever it found is in the error when it found anything."""
    report = directory / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
        *("run", url_of(fuzzed.process) + "/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKEN}"),
        *("--checks", "all", "--max-time", str(seconds), "--continue-on-failure"),
        *("--no-color", "--warnings", "off", "--generation-database", "none"),
        *("--report", "json", "--report-json-path", str(report)),
        cwd=directory,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(_CHECKOUT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text[-20_000:]
    sys.stdout.write(text[text.rfind("= SUMMARY") :])
    return cast(dict[str, Any], json.loads(report.read_text(encoding="utf-8")))
