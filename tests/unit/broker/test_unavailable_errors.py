import asyncio

import pytest

from taskqueue.broker.client_errors import unavailable_errors
from taskqueue.errors import BrokerUnavailableError


async def test_a_cancellation_that_the_client_swallowed_still_ends_the_task() -> None:
    waiting = asyncio.Event()

    async def swallow() -> None:
        with unavailable_errors("asking"):
            try:
                waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return  # as asyncio.wait_for does when the answer came in the same turn

    task = asyncio.create_task(swallow())
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cleanup_of_a_cancelled_task_is_not_cut_short() -> None:
    waiting, cleaned = asyncio.Event(), False

    async def clean_up() -> None:
        nonlocal cleaned
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            with unavailable_errors("closing"):
                await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(clean_up())
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned


async def test_a_cancellation_that_nobody_asked_for_means_a_lost_connection() -> None:
    with pytest.raises(BrokerUnavailableError, match="asking: the connection was lost"), unavailable_errors("asking"):
        raise asyncio.CancelledError
