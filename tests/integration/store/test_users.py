from __future__ import annotations

import asyncio

import pytest

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.users import CustomInterval, StoredSettings, StoredUser, Switches, UserStore

STRANGE = ["a:b", "{x}:settings:y", "*", "line\nfeed", "日本 🦊", "\N{REPLACEMENT CHARACTER}", "settings", "x:tasks"]


@pytest.fixture
def users(store: RedisStore) -> UserStore:
    return UserStore(store)


async def scanned(users: UserStore) -> list[str]:
    return [key async for piece in users.scan() for key in piece]


async def test_the_scan_finds_every_users_keys_and_no_others(users: UserStore, store: RedisStore) -> None:
    wanted = {keys.user_tasks(user) for user in STRANGE} | {keys.user_settings(user, "t") for user in STRANGE}
    for key in wanted:
        await store.command("HSET", key, "t", "1")
    await store.command("SET", keys.GLOBAL_LIMIT, "1")
    assert set(await scanned(users)) == wanted


async def test_the_scan_of_many_users_comes_in_pieces(users: UserStore, store: RedisStore) -> None:
    await store.pipeline([("HSET", keys.user_tasks(f"user-{number}"), "t", "1") for number in range(3000)])
    pieces = [piece async for piece in users.scan()]
    assert len(pieces) > 1
    assert len({key for piece in pieces for key in piece}) == 3000


async def test_keys_that_are_no_text_are_passed_over(users: UserStore, store: RedisStore) -> None:
    await store.command("HSET", b"taskqueue:users:\xff\xfe:tasks", "t", "1")
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    assert await scanned(users) == [keys.user_tasks("u")]


async def test_the_scan_of_known_users_tells_their_switches(users: UserStore, store: RedisStore) -> None:
    for user in STRANGE:
        await store.command("HSET", keys.user_tasks(user), "on", "1", "off", "0")
        await store.command("HSET", keys.user_settings(user, "t"), "parameters", "{}")
    await store.command("SET", keys.user_tasks("of another type"), "1")
    found = [switches async for piece in users.scan_known() for switches in piece]
    assert {switches.user_id for switches in found} == set(STRANGE)
    assert {(switches.switch("on"), switches.switch("off"), switches.switch("none")) for switches in found} == {
        (True, False, None)
    }


@pytest.mark.parametrize("user_id", STRANGE)
async def test_one_user_is_read_with_the_settings_of_tasks_named_and_switched(
    users: UserStore, store: RedisStore, user_id: str
) -> None:
    await store.command("HSET", keys.user_tasks(user_id), "switched", "0")
    for task in ("switched", "named", "neither"):
        await store.command("HSET", keys.user_settings(user_id, task), "parameters", "{}", "odd", "1")
    await store.command("SET", keys.user_settings(user_id, "text"), "1")
    settings = StoredSettings(parameters="{}")
    assert await users.read_user(user_id, ["named", "text", "empty"]) == StoredUser(
        switches=Switches(user_id=user_id, off=frozenset({"switched"})),
        settings={"switched": settings, "named": settings},
    )


@pytest.mark.parametrize("user_id", STRANGE)
async def test_switches_are_on_at_1_and_off_at_anything_else(users: UserStore, store: RedisStore, user_id: str) -> None:
    await store.command("HSET", keys.user_tasks(user_id), "on", "1", "off", "0", "odd", "true")
    assert await users.read([keys.user_tasks(user_id)]) == [
        Switches(user_id=user_id, on=frozenset({"on"}), off=frozenset({"off", "odd"}))
    ]


@pytest.mark.parametrize("user_id", STRANGE)
async def test_a_custom_interval_is_read_as_it_stands(users: UserStore, store: RedisStore, user_id: str) -> None:
    await store.command("HSET", keys.user_settings(user_id, "t"), "custom_interval", "nonsense", "parameters", "{}")
    assert await users.read([keys.user_settings(user_id, "t")]) == [
        CustomInterval(user_id=user_id, task_id="t", text="nonsense")
    ]


async def test_what_is_gone_is_told_as_gone(users: UserStore) -> None:
    assert await users.read([keys.user_tasks("u"), keys.user_settings("u", "t")]) == [
        Switches(user_id="u", exists=False),
        CustomInterval(user_id="u", task_id="t", text=None),
    ]


async def test_keys_of_another_type_say_nothing(users: UserStore, store: RedisStore) -> None:
    await store.command("SET", keys.user_tasks("u"), "1")
    await store.command("SADD", keys.user_settings("u", "t"), "1")
    assert await users.read([keys.user_tasks("u"), keys.user_settings("u", "t")]) == [
        Switches(user_id="u", exists=False),
        CustomInterval(user_id="u", task_id="t", text=None),
    ]


async def test_keys_that_hold_no_preferences_are_left_out(users: UserStore, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    found = await users.read(["taskqueue:users:u", keys.LEASE, keys.user_tasks("u")])
    assert [one.user_id for one in found] == ["u"]


async def test_a_refusal_is_no_user_without_preferences(store: RedisStore, redis_settings: RedisSettings) -> None:
    # Whoever may not read must not conclude that everybody has switched everything off.
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    await store.command(
        "ACL", "SETUSER", "taskqueue-test-blind", "reset", "on", "nopass", "~*", "+@connection", "+role", "+scan"
    )
    blind = RedisStore(
        redis_settings.model_copy(update={"username": "taskqueue-test-blind"}), client_name="taskqueue-test-blind"
    )
    try:
        with pytest.raises(StoreError, match="lacks a right"):
            await UserStore(blind).read([keys.user_tasks("u")])
        with pytest.raises(StoreError, match="lacks a right"):
            await UserStore(blind).read_user("u", [])
    finally:
        await blind.close()
        await store.command("ACL", "DELUSER", "taskqueue-test-blind")


async def test_many_readers_share_the_pool(users: UserStore, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    async with asyncio.timeout(10):
        found = await asyncio.gather(*(users.read([keys.user_tasks("u")]) for _ in range(50)))
    assert found == [[Switches(user_id="u", on=frozenset({"t"}))]] * 50
