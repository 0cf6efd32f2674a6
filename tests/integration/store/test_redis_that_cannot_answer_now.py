"""Servers that speak Redis but cannot serve just now: to be tried again, never taken for a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from pydantic import SecretStr

from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store import connection as connection_module
from taskqueue.store.connection import RedisStore, checked

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
MASTER_DOWN = b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
FULL = b"-ERR max number of clients reached\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Server:
    """Logs everybody in and answers every other command with `refusal`."""

    def __init__(self, refusal: bytes) -> None:
        self._refusal = refusal

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].upper())
            writer.write(self._answer(words))

    def _answer(self, words: list[bytes]) -> bytes:
        match words[0]:
            case b"ROLE":
                return b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
            case b"AUTH" | b"CLIENT" | b"SELECT":
                return b"+OK\r\n"
            case _:
                return self._refusal


async def full(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse as a Redis does that has its `maxclients`."""
    writer.write(FULL)
    await writer.drain()


async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept, and never answer."""
    await reader.read()


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def store_at(*addresses: str, password: str = "") -> AsyncIterator[RedisStore]:
    settings = RedisSettings(addresses=addresses, password=SecretStr(password))
    store = RedisStore(settings, client_name="taskqueue-test")
    try:
        yield store
    finally:
        await store.close()


async def _pipeline(store: RedisStore) -> object:
    return [checked(reply) for reply in await store.pipeline([["GET", "a"]])]


WAYS: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "ask": lambda store: store.ask(["GET", "a"]),
    "command": lambda store: store.command("GET", "a"),
    "pipeline": _pipeline,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("refusal", [LOADING, MASTER_DOWN, FULL], ids=["loading", "master down", "full"])
async def test_what_passes_is_unavailable_whichever_way_one_asks(refusal: bytes, way: str) -> None:
    async with served(_Server(refusal)) as address, store_at(address) as store:
        with pytest.raises(StoreUnavailableError, match=r"loading|MASTER|max number"):
            await WAYS[way](store)


@pytest.mark.parametrize("password", ["", "right"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_redis_that_is_full_is_unavailable_and_its_password_not_refused(way: str, password: str) -> None:
    async with served(full) as address, store_at(address, password=password) as store:
        with pytest.raises(StoreUnavailableError):
            await WAYS[way](store)


async def test_a_redis_that_is_full_says_so() -> None:
    async with served(full) as address, store_at(address) as store:
        with pytest.raises(StoreUnavailableError, match="max number of clients"):
            await store.ask(["PING"])


@pytest.mark.parametrize("password", ["", "none is set"])
async def test_the_next_address_is_tried_behind_one_that_is_full(redis_server: Redis, password: str) -> None:
    async with served(full) as address, store_at(address, redis_server.address, password=password) as store:
        if password:
            with pytest.raises(StoreError, match="without any password"):
                await store.ask(["PING"])
        else:
            assert await store.ask(["PING"]) == b"PONG"


async def test_all_who_wait_for_a_redis_that_never_answers_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.1)
    links = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal links
        links += 1
        await mute(reader, writer)

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_at(await stack.enter_async_context(served(counted))))
        async with asyncio.timeout(5):
            errors = await asyncio.gather(*(store.ask(["PING"]) for _ in range(50)), return_exceptions=True)

    assert [type(error) for error in errors] == [StoreUnavailableError] * 50
    assert links == 1


@pytest.mark.parametrize("way", ["ask", "command"])
async def test_many_that_are_mute_are_all_asked_in_the_time_of_two(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.5)
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(served(mute)) for _ in range(30)]
        store = await stack.enter_async_context(store_at(*addresses))
        async with asyncio.timeout(7):
            with pytest.raises(StoreUnavailableError) as caught:
                await WAYS[way](store)

    assert all(address in str(caught.value) for address in addresses)
    assert str(caught.value).count("no answer") >= len(addresses) - 1


@pytest.mark.parametrize("way", ["ask", "command"])
async def test_the_primary_is_found_behind_two_that_are_mute(
    redis_server: Redis, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 1.0)
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(served(mute)) for _ in range(2)]
        store = await stack.enter_async_context(store_at(first, second, redis_server.address))
        async with asyncio.timeout(30):
            assert await _answer(store, way) is None


async def _answer(store: RedisStore, way: str) -> object:
    """Return what Redis says; on a slow machine its own share of the time may be too short for once."""
    while True:
        with suppress(StoreUnavailableError):
            return await WAYS[way](store)


async def test_a_caller_that_goes_away_does_not_end_the_attempt_of_the_others(redis_server: Redis) -> None:
    async with store_at(redis_server.address) as store:
        first, second = (asyncio.create_task(store.ask(["ECHO", text])) for text in ("first", "second"))
        await asyncio.sleep(0)
        first.cancel()

        assert await second == b"second"
        assert first.cancelled()


async def test_whoever_waits_for_a_connection_when_the_store_closes_is_told() -> None:
    async with served(mute) as address, store_at(address) as store:
        waiting = asyncio.create_task(store.ask(["PING"]))
        await asyncio.sleep(0)
        await store.close()

        async with asyncio.timeout(1):
            with pytest.raises(StoreUnavailableError, match="closed"):
                await waiting
