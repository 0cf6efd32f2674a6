"""`rabbitmqctl` on the tests' own RabbitMQ: what cannot be asked for over AMQP."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from taskqueue.dev.services import RabbitMQ


async def rabbitmqctl(rabbitmq: RabbitMQ, *words: str) -> str:
    """Return the output of one command of at most a minute; skip the test where the broker is not ours."""
    program, environment = _program_of(rabbitmq)
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        env=environment,
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


def rabbitmqctl_script(rabbitmq: RabbitMQ, directory: Path) -> Path:
    """Return a program in `directory` that is rabbitmqctl for this broker; skip the test where it is not ours."""
    program, environment = _program_of(rabbitmq)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    script = directory / "rabbitmqctl"
    script.write_text(f'#!/bin/sh\nexec env -i {variables} {shlex.quote(str(program))} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def _program_of(rabbitmq: RabbitMQ) -> tuple[Path, dict[str, str]]:
    """Return rabbitmqctl, and the environment in which it finds the broker."""
    if rabbitmq.server is None:
        pytest.skip("needs a RabbitMQ of our own")
    return Path(rabbitmq.server._command[0]).with_name("rabbitmqctl"), rabbitmq.server._environment


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


@asynccontextmanager
async def frozen_queue(rabbitmq: RabbitMQ, amqp_url: str, queue: str) -> AsyncIterator[None]:
    """Have a quorum queue of the URL's virtual host take in and give out nothing, as one without a quorum does."""
    vhost = unquote(urlsplit(amqp_url).path[1:])
    command = (
        f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)), '
        "{Name, _} = amqqueue:get_pid(Queue), sys:%s(Name)."
    )
    await rabbitmqctl(rabbitmq, "eval", command % "suspend")
    try:
        yield
    finally:
        await rabbitmqctl(rabbitmq, "eval", command % "resume")
