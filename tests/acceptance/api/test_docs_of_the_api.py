"""Every command of docs/api.md works, in its order, and answers with the fields that the page shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_system import ApiSystem, url_of
from tests.support.system import Place

_CHECKOUT = Path(__file__).resolve().parents[3]

#: a block of commands, and the answer that the page shows right below it
_BLOCK = re.compile(r"```sh\n(.*?)```\n(?:```json\n(.*?)```)?", re.DOTALL)

_MARK = "-- end of block --"


@pytest.mark.timeout(120)
async def test_every_command_of_the_page_answers_as_it_shows(running: ApiSystem, tmp_path: Path) -> None:
    for program in ("bash", "curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    page = (_CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(page)

    outputs = await _run([commands for commands, _ in blocks], running, tmp_path)

    shown = 0
    for (commands, answer), output in zip(blocks, outputs, strict=True):
        if answer:
            assert _shape(json.loads(output)) == _shape(json.loads(answer)), commands
            shown += 1
    assert shown > 15


async def _run(blocks: list[str], running: ApiSystem, directory: Path) -> list[str]:
    """Return what each block prints; they share one shell, which ends at the first command that fails."""
    # The commands of the page name no settings file: the one of the checkout, with the services of this test.
    (directory / "config").symlink_to(_CHECKOUT / "config")
    script = "set -euo pipefail\n" + "".join(f"{block}\nprintf '\\n{_MARK}\\n'\n" for block in blocks)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script.replace("http://localhost:8000", url_of(running.process))),
        cwd=directory,
        env={**_environment(running.system.place), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, f"after {text[-2000:]}\n{errors.decode()[-2000:]}"
    return text.split(_MARK)[:-1]


def _environment(place: Place) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
    return others | {
        "TASKQUEUE_REDIS__ADDRESSES": json.dumps([place.redis_address]),
        "TASKQUEUE_REDIS__DB": str(place.redis_db),
        "TASKQUEUE_REDIS__PASSWORD": place.redis_password,
    }


def _shape(value: Any) -> Any:
    """Return the names that `value` has, on all levels; of a list those of its first item."""
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict | list) else None
