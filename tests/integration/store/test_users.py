from __future__ import annotations

import pytest

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.users import StoredSettings, StoredUser, Switches, UserStore

STRANGE = ["a:b", "{x}:settings:y", "*", "line\nfeed", "日本 🦊", "\N{REPLACEMENT CHARACTER}", "settings", "x:tasks"]


@pytest.fixture
def users(store: RedisStore) -> UserStore:
    return UserStore(store)


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
            await UserStore(blind).read_user("u", [])
    finally:
        await blind.close()
        await store.command("ACL", "DELUSER", "taskqueue-test-blind")
