"""`rabbitmqctl` on the tests' own RabbitMQ: what cannot be asked for over AMQP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskqueue.dev.services import RabbitMQ


async def rabbitmqctl(rabbitmq: RabbitMQ, *words: str) -> str:
    """Return the output of one command of at most a minute; skip the test where the broker is not ours."""
    if rabbitmq.server is None:
        pytest.skip("needs a RabbitMQ of our own")
    program = Path(rabbitmq.server._command[0]).with_name("rabbitmqctl")
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        env=rabbitmq.server._environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode()
