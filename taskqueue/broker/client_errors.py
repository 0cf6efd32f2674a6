"""What the AMQP client raises, as errors of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from taskqueue.errors import BrokerAccessError, BrokerUnavailableError

#: what the client raises for a broken connection or channel; RuntimeError for whatever is called on a closed one
CLIENT_ERRORS: Final = (AMQPError, OSError, RuntimeError)
_ACCESS_ERRORS = (AuthenticationError, ProbableAuthenticationError)


def describe(error: BaseException) -> str:
    """Return what an exception of the client means, in words; its class name where it says nothing."""
    match error:
        case asyncio.CancelledError():
            return "no sign of life"
        case ChannelInvalidStateError():
            return "the channel is closed"
        case InvalidFrameError():
            # What the client makes of a connection that is closed where it expects to have it opened.
            return "RabbitMQ closed it at the virtual host; check that this exists, and the user's rights on it"
        case _:
            return str(error) or type(error).__name__


@contextmanager
def _heeded_cancellation() -> Iterator[None]:
    """Raise CancelledError at the end of a block in which the task was cancelled and that ended as if it was not.

    The client uses asyncio.wait_for, which before its rewrite for Python 3.12 (python/cpython#96764) drops a
    cancellation that comes in the same turn of the loop as the answer: the task would go on for ever.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


@contextmanager
def unavailable_errors(doing: str) -> Iterator[None]:
    """Raise BrokerUnavailableError, starting with `doing`, for what the client raises on a broken connection.

    A dying connection of the client also raises CancelledError into tasks that nobody cancelled.
    """
    try:
        with _heeded_cancellation():
            yield
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        raise BrokerUnavailableError(f"{doing}: the connection was lost") from None
    except CLIENT_ERRORS as error:
        kind = BrokerAccessError if isinstance(error, _ACCESS_ERRORS) else BrokerUnavailableError
        raise kind(f"{doing}: {describe(error)}") from error


def was_cancelled() -> bool:
    """Return whether somebody really asked the current task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
