"""Looking through the failed queue for a command: connected, warned, and with progress on a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import typer

from taskqueue.broker.connection import connect_any
from taskqueue.broker.failed_browser import FailedBrowser, HeldMessage, browse_failed
from taskqueue.broker.names import FAILED_QUEUE
from taskqueue.broker.topology import warning_of_failed_queue
from taskqueue.cli.progress import progress
from taskqueue.config.sections import QueueSettings
from taskqueue.core.failures import Choice, Failure, read_failure

_OTHERS = f"somebody else holds messages of {FAILED_QUEUE}: what follows may be incomplete"
_TAKEN = f"somebody else holds or has taken messages of {FAILED_QUEUE} meanwhile: this is incomplete"

Take = Callable[[HeldMessage, Failure], Awaitable[None]]


@asynccontextmanager
async def failed_queue(settings: QueueSettings, *, warn: bool = True) -> AsyncIterator[FailedBrowser]:
    """Connect and open the queue; at the end all that was not acknowledged is back in it.

    Raises BrokerError.
    """
    session = await connect_any(settings.candidates, "taskqueue failed")
    try:
        async with browse_failed(session) as browser:
            if warn and browser.others:
                typer.echo(f"warning: {_OTHERS}", err=True)
            if warn and (warning := await warning_of_failed_queue(session)) is not None:
                typer.echo(f"warning: {warning}", err=True)
            yield browser
    finally:
        await session.close()


async def look_through(browser: FailedBrowser, choice: Choice, take: Take) -> None:
    """Hand each message that `choice` takes to `take`, the oldest first; to the last one, so that their order stays."""
    with progress("looking", browser.depth) as advance:
        async for held in browser.messages():
            message = held.message
            failure = read_failure(message.body, message.message_id, message.headers)
            if choice.takes(failure):
                await take(held, failure)
            advance(1)
    if browser.short and not browser.others:
        typer.echo(f"warning: {_TAKEN}", err=True)
