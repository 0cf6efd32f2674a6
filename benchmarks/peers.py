"""Celery and APScheduler, asked from a process of their own with an environment of its own (`make bench` makes it)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from report import Report

from taskqueue.config.settings import process_environment

_HERE = Path(__file__).resolve().parent
PEERS_PYTHON = _HERE.parent / ".venv-bench" / "bin" / "python"

#: APScheduler 3 needs a minute to take in 100,000 jobs
_PATIENCE_S = 600.0


class Peers:
    """The process; `available` is False where nobody has installed them."""

    def __init__(self, process: asyncio.subprocess.Process | None) -> None:
        self._process = process

    @property
    def available(self) -> bool:
        """Whether there is anybody to ask."""
        return self._process is not None

    async def ask(self, question: str, **arguments: object) -> Any:
        """Return the answer of `peer_process.py` to one question. Raises SystemExit when it ends instead."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"question": question, **arguments}).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE_S):
            reply = await self._process.stdout.readline()
        if not reply:
            raise SystemExit(f"the peers' process ended over {question}")
        return json.loads(reply)

    @classmethod
    @asynccontextmanager
    async def found(cls, report: Report) -> AsyncIterator[Peers]:
        """Start the process where the peers are installed; end it with the context."""
        if not PEERS_PYTHON.exists():
            report.say("Celery and APScheduler are not installed: `make bench` does that; measured without them")
            yield cls(None)
            return
        process = await asyncio.create_subprocess_exec(
            *(str(PEERS_PYTHON), str(_HERE / "peer_process.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=peer_environment(process_environment()),
            limit=1 << 24,
        )
        peers = cls(process)
        try:
            report.say(
                "beside " + ", ".join(f"{name} {version}" for name, version in (await peers.ask("versions")).items())
            )
            yield peers
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def peer_versions(*packages: str) -> list[str]:
    """Return what is installed of these in the peers' environment, each with its version."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    asked = await asyncio.create_subprocess_exec(
        *(str(PEERS_PYTHON), "-c", code, *packages), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asked.communicate()
    return [" ".join(pair) for pair in zip(packages, said.decode().split(), strict=True)]


def peer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` for the peers: what PYTHONPATH adds is meant for our own environment."""
    return {name: value for name, value in environ.items() if name != "PYTHONPATH"}
