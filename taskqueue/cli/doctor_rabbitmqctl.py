"""The consumer_timeout of RabbitMQ, which neither AMQP nor the management API tells: `rabbitmqctl eval` does."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Final

from taskqueue.core.doctor_consumers import ConsumerTimeout

#: seconds; it starts an Erlang VM
_WITHIN: Final = 10.0

_QUESTION: Final = "application:get_env(rabbit, consumer_timeout)."
_ANSWER: Final = re.compile(r"\{ok,(\d+|undefined|infinity)\}")


async def ask_rabbitmqctl(program: str) -> ConsumerTimeout:
    """Return what `program`, a rabbitmqctl that may talk to the broker, tells; or why it does not. Raises nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "eval",
            _QUESTION,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return ConsumerTimeout(problem=f"{program} cannot be run: {getattr(error, 'strerror', None) or error}")
    output: bytes | None = None
    try:
        async with asyncio.timeout(_WITHIN):
            output, _ = await process.communicate()
    except TimeoutError:
        return ConsumerTimeout(problem=f"{program} did not answer within {_WITHIN:g} s")
    finally:
        if output is None:
            # A script mostly, whose children would go on without it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _told(program, output.decode(errors="replace"))


def _told(program: str, output: str) -> ConsumerTimeout:
    found = _ANSWER.search(output)
    if found is None:
        words = " ".join(output.split())[:200]
        return ConsumerTimeout(problem=f"{program} did not tell: {words or 'no output'}")
    return ConsumerTimeout(limit=timedelta(milliseconds=int(found[1])) if found[1].isdecimal() else None)
