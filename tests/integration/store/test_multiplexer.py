"""The connection that many callers share, on a real Redis behind a network that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.errors import StoreError, StoreUnavailableError, UnknownScriptError
from taskqueue.store import connection as connection_module
from taskqueue.store.connection import RedisStore
from tests.support.own_redis import OwnRedis
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
async def proxy(redis_server: Redis) -> AsyncIterator[TcpProxy]:
    host, _, port = redis_server.address.rpartition(":")
    async with TcpProxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
async def store(redis_settings: RedisSettings, proxy: TcpProxy) -> AsyncIterator[RedisStore]:
    """A store that reaches its Redis through the proxy."""
    address = f"127.0.0.1:{proxy.port}"
    store = RedisStore(redis_settings.model_copy(update={"addresses": (address,)}), client_name="taskqueue-test")
    yield store
    await store.close()


async def test_every_caller_gets_the_answer_to_its_own_question(store: RedisStore) -> None:
    answers = await asyncio.gather(*(store.ask(["ECHO", number]) for number in range(2000)))

    assert answers == [str(number).encode() for number in range(2000)]


async def test_all_callers_share_one_connection_that_is_named_and_in_the_right_database(
    store: RedisStore, proxy: TcpProxy, redis_db: int
) -> None:
    found, *_ = await asyncio.gather(store.ask(["CLIENT", "INFO"]), *(store.ask(["PING"]) for _ in range(100)))

    info = dict(field.split("=", 1) for field in found.decode().split())
    assert (info["name"], info["db"]) == ("taskqueue-test", str(redis_db))
    assert proxy.links == 1


async def test_a_refusal_is_its_own_callers_alone(store: RedisStore) -> None:
    answers = await asyncio.gather(
        store.ask(["ECHO", "before"]), store.ask(["NOSUCH"]), store.ask(["ECHO", "after"]), return_exceptions=True
    )

    assert (answers[0], answers[2]) == (b"before", b"after")
    assert isinstance(answers[1], StoreError)
    assert not isinstance(answers[1], StoreUnavailableError)


async def test_a_script_that_redis_does_not_know_has_an_error_of_its_own(store: RedisStore) -> None:
    with pytest.raises(UnknownScriptError):
        await store.ask(["EVALSHA", "0" * 40, 0])


async def test_a_caller_that_goes_away_shifts_nobodys_answer(store: RedisStore) -> None:
    await store.ask(["PING"])
    gone = asyncio.create_task(store.ask(["ECHO", "gone"]))
    await asyncio.sleep(0)
    stays = asyncio.create_task(store.ask(["ECHO", "stays"]))
    gone.cancel()

    assert await stays == b"stays"
    assert gone.cancelled()


async def test_a_lost_connection_is_told_to_everybody_who_waits_and_the_next_question_opens_another(
    store: RedisStore, proxy: TcpProxy
) -> None:
    await store.ask(["PING"])
    proxy.freeze()
    waiting = [asyncio.create_task(store.ask(["INCR", "n"])) for _ in range(3)]
    await asyncio.sleep(0)
    cut = proxy.cut()

    errors = await asyncio.gather(*waiting, return_exceptions=True)
    await cut
    proxy.thaw()

    assert [type(error) for error in errors] == [StoreUnavailableError] * 3
    assert len({id(error) for error in errors}) == 3
    assert await store.ask(["ECHO", "again"]) == b"again"


async def test_a_redis_that_hangs_is_given_up_after_the_time_for_a_command(
    store: RedisStore, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.2)
    await store.ask(["PING"])
    proxy.freeze()

    async with asyncio.timeout(2):
        with pytest.raises(StoreUnavailableError, match="no answer"):
            await store.ask(["PING"])


async def test_a_quiet_connection_lives_on(store: RedisStore, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.1)
    ours = await store.ask(["CLIENT", "ID"])
    async with asyncio.timeout(5):
        while (await store.command("CLIENT", "LIST", "ID", ours)).decode().split("idle=")[1].split()[0] == "0":
            pass

    assert await store.ask(["CLIENT", "ID"]) == ours


async def test_a_primary_that_becomes_a_replica_is_left_for_the_new_one(own_redis: OwnRedis) -> None:
    (_, first), (_, second) = own_redis.start(), own_redis.start()
    store = RedisStore(RedisSettings(addresses=(first, second)), client_name="taskqueue-test")
    try:
        await store.ask(["SET", "a", "1"])
        host, _, port = second.rpartition(":")
        await store.ask(["REPLICAOF", host, port])

        with pytest.raises(StoreError, match="replica"):
            await store.ask(["SET", "a", "2"])

        assert await store.ask(["SET", "a", "3"]) == b"OK"
    finally:
        await store.close()


async def test_all_who_are_told_of_a_new_primary_find_it_with_their_next_question(own_redis: OwnRedis) -> None:
    (_, first), (_, second) = own_redis.start(), own_redis.start()
    store = RedisStore(RedisSettings(addresses=(first, second)), client_name="taskqueue-test")

    async def ask_twice() -> object:
        with pytest.raises(StoreError, match="replica"):
            await store.ask(["INCR", "a"])
        return await store.ask(["INCR", "b"])

    try:
        host, _, port = second.rpartition(":")
        await store.ask(["REPLICAOF", host, port])
        answers = await asyncio.gather(*(ask_twice() for _ in range(20)))
    finally:
        await store.close()

    assert sorted(answers) == list(range(1, 21))


async def test_a_wrong_password_names_the_settings_and_is_not_shown(own_redis: OwnRedis) -> None:
    _, address = own_redis.start()
    canary = "canary-77aa"
    open_one = RedisStore(RedisSettings(addresses=(address,)), client_name="taskqueue-test")
    await open_one.ask(["CONFIG", "SET", "requirepass", "right"])
    settings = RedisSettings(addresses=(address,), username="default", password=SecretStr(canary))
    store = RedisStore(settings, client_name="taskqueue-test")
    try:
        with pytest.raises(StoreError, match=r"redis\.password") as caught:
            await store.ask(["PING"])
    finally:
        await store.close()
        await open_one.close()

    assert canary not in repr(caught.value) + str(caught.value)


async def test_what_does_not_answer_as_a_redis_does_is_unavailable() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="taskqueue-test")
    async with server:
        with pytest.raises(StoreUnavailableError):
            await store.ask(["PING"])
        await store.close()
