from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from tests.support.inbox import eventually
from tests.support.own_redis import OwnRedis
from tests.support.tcp_proxy import TcpProxy

News = AsyncIterator[list[str] | None]


@pytest.fixture
async def news(store: RedisStore) -> AsyncIterator[News]:
    """The changes from now on."""
    async with aclosing(user_changes(store)) as changes:
        assert await within_5_s(changes) == []
        yield changes


async def within_5_s(changes: News) -> list[str] | None:
    async with asyncio.timeout(5):
        return await anext(changes)


async def test_a_switch_that_is_set_is_heard_of(news: News, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    assert await within_5_s(news) == [keys.user_tasks("u")]


async def test_every_further_change_of_the_same_key_is_heard_of(news: News, store: RedisStore) -> None:
    for switch in ("1", "0", "1"):
        await store.command("HSET", keys.user_tasks("u"), "t", switch)
        assert await within_5_s(news) == [keys.user_tasks("u")]


async def test_deleted_and_expired_preferences_are_heard_of(news: News, store: RedisStore) -> None:
    await store.command("HSET", keys.user_settings("u", "t"), "parameters", "{}")
    assert await within_5_s(news) == [keys.user_settings("u", "t")]
    await store.command("DEL", keys.user_settings("u", "t"))
    assert await within_5_s(news) == [keys.user_settings("u", "t")]
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    assert await within_5_s(news) == [keys.user_tasks("u")]
    await store.command("PEXPIREAT", keys.user_tasks("u"), 1)
    assert await within_5_s(news) == [keys.user_tasks("u")]


async def test_user_ids_with_any_characters_arrive_whole(news: News, store: RedisStore) -> None:
    user_id = "a:{b}*\n日本"
    await store.command("HSET", keys.user_tasks(user_id), "t", "1")
    assert await within_5_s(news) == [keys.user_tasks(user_id)]


async def test_a_user_id_that_is_no_text_is_passed_over(news: News, store: RedisStore) -> None:
    await store.command("HSET", b"taskqueue:users:\xff:tasks", "t", "1")
    assert await within_5_s(news) == []


async def test_other_keys_are_not_heard_of(news: News, store: RedisStore) -> None:
    await store.command("SET", keys.GLOBAL_LIMIT, "1")
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    assert await within_5_s(news) == [keys.user_tasks("u")]


@pytest.fixture
async def own_store(own_redis: OwnRedis) -> AsyncIterator[RedisStore]:
    """A connection to a Redis that nobody else uses."""
    _, address = own_redis.start()
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="taskqueue-test")
    yield store
    await store.close()


@pytest.mark.parametrize("flush", ["FLUSHDB", "FLUSHALL"])
async def test_a_flush_says_that_all_may_have_changed(own_store: RedisStore, flush: str) -> None:
    async with aclosing(user_changes(own_store)) as changes:
        assert await within_5_s(changes) == []
        await own_store.command(flush)
        assert await within_5_s(changes) is None


async def test_a_quiet_connection_stays_alive_beyond_its_read_timeout(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store._connection_options, "socket_timeout", 0.3)
    monkeypatch.setattr("taskqueue.store.changes._PING_EVERY_S", 0.1)
    async with aclosing(user_changes(store)) as changes:
        assert await within_5_s(changes) == []
        following = asyncio.ensure_future(within_5_s(changes))
        assert (await asyncio.wait({following}, timeout=0.7))[0] == set()
        await store.command("HSET", keys.user_tasks("u"), "t", "1")
        assert await following == [keys.user_tasks("u")]


async def test_a_killed_connection_ends_the_news_with_an_error(own_store: RedisStore) -> None:
    async with aclosing(user_changes(own_store)) as changes:
        assert await within_5_s(changes) == []
        await own_store.command("CLIENT", "KILL", "TYPE", "pubsub")
        with pytest.raises(StoreUnavailableError):
            await within_5_s(changes)


async def test_the_news_of_a_primary_that_was_demoted_end_with_an_error(own_redis: OwnRedis) -> None:
    # Nobody closes the connection then, and a replica whose primary is away tells of no change.
    addresses = [own_redis.start()[1] for _ in range(2)]
    settings = RedisSettings(addresses=tuple(addresses))
    store, other = (RedisStore(settings, client_name="taskqueue-test") for _ in range(2))
    async with aclosing(user_changes(store)) as changes:
        assert await within_5_s(changes) == []
        await store.command("SET", "a", "b")
        await other.command("REPLICAOF", "127.0.0.1", addresses[1].rpartition(":")[2])
        with pytest.raises(StoreError):
            await store.command("SET", "a", "b")  # as the scheduler does every second, to know
        with pytest.raises(StoreUnavailableError):
            await within_5_s(changes)
    async with aclosing(user_changes(store)) as changes:
        assert await within_5_s(changes) == []
        await store.command("HSET", keys.user_tasks("u"), "t", "1")
        assert await within_5_s(changes) == [keys.user_tasks("u")]
    await store.close()
    await other.close()


async def test_a_silent_connection_ends_the_news_with_an_error(redis_settings: RedisSettings) -> None:
    host, port = redis_settings.endpoints[0]
    async with TcpProxy(host, port) as proxy:
        settings = redis_settings.model_copy(update={"addresses": (f"127.0.0.1:{proxy.port}",)})
        behind = RedisStore(settings, client_name="taskqueue-test")
        async with aclosing(user_changes(behind)) as changes:
            assert await within_5_s(changes) == []
            proxy.freeze()
            with pytest.raises(StoreUnavailableError):
                await within_5_s(changes)
        await behind.close()


async def test_the_connection_is_closed_when_nobody_listens_any_more(own_store: RedisStore) -> None:
    async with aclosing(user_changes(own_store)) as changes:
        await within_5_s(changes)

    async def closed() -> bool:
        return not await own_store.command("CLIENT", "LIST", "TYPE", "pubsub")

    await eventually(closed)
