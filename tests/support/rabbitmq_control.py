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


async def set_memory_alarm(rabbitmq: RabbitMQ, *, on: bool) -> None:
    """Have the broker be short of memory, or no longer."""
    await rabbitmqctl(rabbitmq, "set_vm_memory_high_watermark", "0.00001" if on else "0.4")


async def set_consumer_timeout(rabbitmq: RabbitMQ, *, timeout_ms: int, looked_at_every_ms: int) -> None:
    """Set for how long a consumer may hold a message; counts for channels that are opened from now on."""
    await rabbitmqctl(
        rabbitmq,
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout_ms}), "
        f"application:set_env(rabbit, channel_tick_interval, {looked_at_every_ms}).",
    )
