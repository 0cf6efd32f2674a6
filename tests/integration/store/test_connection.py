from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.local_server import free_ports
from taskqueue.errors import LeaseLostError, StoreError, StoreUnavailableError, TaskqueueError
from taskqueue.store import connection as connection_module
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.own_redis import OwnRedis
from tests.support.tcp_proxy import TcpProxy

CANARY = "canary-5e9f"

Open = Callable[..., RedisStore]


@pytest.fixture
async def open_store() -> AsyncIterator[Open]:
    """Call it with addresses and other settings; what it opens is closed when the test ends."""
    async with AsyncExitStack() as stack:

        def opened(*addresses: str, **settings: Any) -> RedisStore:
            store = RedisStore(RedisSettings(addresses=addresses, **settings), client_name="taskqueue-test")
            stack.push_async_callback(store.close)
            return store

        yield opened


def dead_address() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


async def refusal(ask: Awaitable[object]) -> TaskqueueError:
    with pytest.raises(StoreError) as caught:
        async with asyncio.timeout(10):
            await ask
    return caught.value


async def replica_of(primary: str, own_redis: OwnRedis, open_store: Open) -> str:
    """Return the address of a Redis that replicates `primary` and has caught up."""
    _, address = own_redis.start()
    await demote(open_store(address), primary)
    return address


async def demote(store: RedisStore, primary: str) -> None:
    host, _, port = primary.rpartition(":")
    await store.command("REPLICAOF", host, port)


async def test_a_wrong_password_says_which_settings_to_check_and_shows_none(
    own_redis: OwnRedis, open_store: Open
) -> None:
    _, address = own_redis.start()
    await open_store(address).command("CONFIG", "SET", "requirepass", "right")
    error = await refusal(open_store(address, password=SecretStr(CANARY)).command("PING"))
    assert "redis.password" in str(error)
    assert CANARY not in repr(error) + str(error)
    assert error.__cause__ is None


async def test_another_service_at_the_address_is_none_that_answers(open_store: Open) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        error = await refusal(open_store(address).command("PING"))
    assert isinstance(error, StoreUnavailableError)
    assert str(error) == f"Redis: {address}: what answers there is not Redis"


async def test_a_missing_password_says_which_setting_to_set(own_redis: OwnRedis, open_store: Open) -> None:
    _, address = own_redis.start()
    await open_store(address).command("CONFIG", "SET", "requirepass", "right")
    assert "redis.password" in str(await refusal(open_store(address).command("PING")))


async def test_a_password_where_none_is_wanted_is_not_shown(own_redis: OwnRedis, open_store: Open) -> None:
    _, address = own_redis.start()
    error = await refusal(open_store(address, username="nobody", password=SecretStr(CANARY)).command("PING"))
    assert CANARY not in repr(error) + str(error)


async def test_an_unknown_command_is_told_without_its_arguments(store: RedisStore) -> None:
    # Where AUTH is renamed, its argument is the password.
    error = await refusal(store.command("AUTHENTICATE", CANARY))
    assert "unknown command" in str(error)
    assert CANARY not in repr(error) + str(error)


async def test_a_missing_right_is_told_with_where_the_rights_are_listed(
    store: RedisStore, redis_settings: RedisSettings
) -> None:
    await store.command(
        "ACL", "SETUSER", "taskqueue-test-reader", "reset", "on", "nopass", "~*", "+@connection", "+role", "+get"
    )
    reader = RedisStore(
        redis_settings.model_copy(update={"username": "taskqueue-test-reader"}), client_name="taskqueue-test"
    )
    try:
        assert await reader.command("GET", "nothing") is None
        assert "docs/redis.md" in str(await refusal(reader.command("SET", "a", "b")))
    finally:
        await reader.close()
        await store.command("ACL", "DELUSER", "taskqueue-test-reader")


async def test_a_full_redis_says_what_to_raise(own_redis: OwnRedis, open_store: Open) -> None:
    _, address = own_redis.start()
    store = open_store(address)
    await store.command("CONFIG", "SET", "maxmemory", "1")
    assert "maxmemory" in str(await refusal(store.command("SET", "a", "b")))
    scripts = Scripts(store, asset_dir("lua"))
    assert "maxmemory" in str(await refusal(scripts.call("rate_limit", ["bucket"], [1, 1, 1])))


async def test_a_replica_alone_is_refused_by_name(own_redis: OwnRedis, open_store: Open) -> None:
    _, primary = own_redis.start()
    replica = await replica_of(primary, own_redis, open_store)
    error = await refusal(open_store(replica).command("PING"))
    assert isinstance(error, StoreUnavailableError)
    assert f"{replica}: this is a replica" in str(error)


@pytest.mark.parametrize("pool_size", [1, 5])
async def test_the_primary_is_found_behind_a_dead_address(
    own_redis: OwnRedis, open_store: Open, pool_size: int
) -> None:
    _, primary = own_redis.start()
    store = open_store(dead_address(), primary, pool_size=pool_size)
    replies = await asyncio.gather(*(store.command("INCR", "n") for _ in range(20)))
    assert sorted(replies) == list(range(1, 21))


async def test_the_primary_is_found_behind_a_replica(own_redis: OwnRedis, open_store: Open) -> None:
    _, primary = own_redis.start()
    replica = await replica_of(primary, own_redis, open_store)
    store = open_store(replica, primary)
    await store.command("SET", "a", "b")
    assert await open_store(primary).command("GET", "a") == b"b"


async def test_when_no_address_answers_all_are_named(open_store: Open) -> None:
    dead = [dead_address(), dead_address()]
    error = await refusal(open_store(*dead).command("PING"))
    assert isinstance(error, StoreUnavailableError)
    assert all(address in str(error) for address in dead)


@pytest.mark.parametrize("way", ["command", "script"])
async def test_a_primary_that_is_demoted_is_left_for_the_new_one(
    own_redis: OwnRedis, open_store: Open, way: str
) -> None:
    _, old = own_redis.start()
    _, new = own_redis.start()
    store = open_store(old, new)
    scripts = Scripts(store, asset_dir("lua"))

    async def write() -> object:
        if way == "command":
            return await store.command("SET", "a", "b")
        return await scripts.call("rate_limit", ["bucket"], [10, 1, 1])

    await write()
    await demote(open_store(old), new)

    assert "is a replica" in str(await refusal(write()))
    await write()
    assert await open_store(new).command("DBSIZE") == 1


async def test_a_redis_that_is_gone_is_unavailable_and_back_without_a_new_store(
    own_redis: OwnRedis, open_store: Open
) -> None:
    server, address = own_redis.start()
    store = open_store(address)
    await store.command("SET", "a", "b")
    server.kill()
    assert isinstance(await refusal(store.command("GET", "a")), StoreUnavailableError)
    server.start()
    assert await store.command("PING") in (b"PONG", "PONG", True)


async def test_a_redis_that_hangs_is_unavailable_after_the_timeout(
    redis_settings: RedisSettings, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.3)
    host, port = redis_settings.endpoints[0]
    async with TcpProxy(host, port) as proxy:
        store = open_store(f"127.0.0.1:{proxy.port}", password=redis_settings.password, db=redis_settings.db)
        await store.command("PING")
        proxy.freeze()
        assert isinstance(await refusal(store.command("INCR", "n")), StoreUnavailableError)


async def test_a_command_whose_answer_came_too_late_is_not_run_twice(
    own_redis: OwnRedis, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = own_redis.start()
    patient = open_store(address)
    await patient.command("SET", "n", 0)
    monkeypatch.setattr(connection_module, "COMMAND_TIMEOUT_S", 0.2)
    hasty = open_store(address)
    await hasty.command("PING")
    await patient.command("CLIENT", "PAUSE", 700, "WRITE")
    assert isinstance(await refusal(hasty.command("INCR", "n")), StoreUnavailableError)
    assert await patient.command("INCRBY", "n", 10) in {10, 11}


async def test_replies_of_a_pipeline_come_in_order_and_a_refusal_is_one_of_them(store: RedisStore) -> None:
    replies = await store.pipeline([("SET", "a", "1"), ("HGET", "a", "field"), ("INCR", "a")])
    assert isinstance(replies[1], Exception)
    assert replies[2] == 2


async def test_an_empty_pipeline_asks_nobody(open_store: Open) -> None:
    assert await open_store(dead_address()).pipeline([]) == []


async def test_a_script_that_finds_another_leader_raises_lease_lost(scripts: Scripts, token: str) -> None:
    with pytest.raises(LeaseLostError):
        await scripts.call("lease", [keys.LEASE], ["another token", 1000])
