"""One look-up of a name serves all who wait for it, and one that hangs takes a single thread of the resolver."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskqueue.worker import http_connection
from taskqueue.worker.http_connection import Origin, Pool
from tests.support.raw_endpoint import after_request, raw_endpoint

UNKNOWN = Origin(False, "reports.example", 80)


class Resolver:
    """The loop's look-up: each takes until `release`, and ends with `error` or with the address of this machine."""

    def __init__(self, error: Exception | None = None) -> None:
        self.lookups = 0
        self._error = error
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def __call__(self, _host: str, port: int, **_options: Any) -> list[http_connection.AddressInfo]:
        self.lookups += 1
        await self._released.wait()
        if self._error is not None:
            raise self._error
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


def resolving(pool: Pool, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> Resolver:
    resolver = Resolver(error)
    monkeypatch.setattr(pool._loop, "getaddrinfo", resolver)
    return resolver


async def test_all_who_dial_a_name_share_one_lookup_even_when_the_first_goes_away(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_endpoint(after_request(b"")) as url:
        resolver = resolving(pool, monkeypatch)
        origin = Origin(False, "reports.example", int(url.rpartition(":")[2]))
        first, *others = [asyncio.create_task(pool.dial(origin)) for _ in range(10)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        resolver.release()

        connections = await asyncio.gather(*others)

    assert first.cancelled()
    assert all(connection.origin == origin for connection in connections)
    assert resolver.lookups == 1


async def test_a_failure_is_told_to_all_who_wait_and_kept_for_a_moment(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = resolving(pool, monkeypatch, socket.gaierror(socket.EAI_AGAIN, "try again"))
    resolver.release()

    errors = await asyncio.gather(*(pool.dial(UNKNOWN) for _ in range(3)), return_exceptions=True)
    with pytest.raises(socket.gaierror):
        await pool.dial(UNKNOWN)

    assert [type(error) for error in errors] == [socket.gaierror] * 3
    assert resolver.lookups == 1


async def test_a_name_that_failed_is_looked_up_again_after_that_moment(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "_UNRESOLVED_FOR_S", 0.0)
    resolver = resolving(pool, monkeypatch, socket.gaierror(socket.EAI_AGAIN, "try again"))
    resolver.release()

    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await pool.dial(UNKNOWN)

    assert resolver.lookups == 2


async def test_the_end_of_the_pool_ends_a_lookup_that_hangs(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(pool, monkeypatch)
    dialling = asyncio.create_task(pool.dial(UNKNOWN))
    await asyncio.sleep(0)

    pool.close()

    async with asyncio.timeout(5):
        with pytest.raises(OSError, match="closed"):
            await dialling
