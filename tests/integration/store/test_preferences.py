from __future__ import annotations

import asyncio

import pytest

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.preferences import (
    FIRST,
    LAST,
    MAX_INTERVAL_BYTES,
    Preference,
    PreferenceStore,
    pieces,
)
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import MAX_SWITCHES, CustomInterval, Switches

STRANGE = ["a:b", "{x}:settings:y", "*", "line\nfeed", "日本 🦊", "\N{REPLACEMENT CHARACTER}", "settings", "x:tasks"]


@pytest.fixture
def preferences(store: RedisStore, scripts: Scripts) -> PreferenceStore:
    return PreferenceStore(store, scripts)


async def scanned(preferences: PreferenceStore) -> list[str]:
    return [key async for piece in preferences.scan() for key in piece]


async def test_the_scan_finds_every_users_keys_and_no_others(preferences: PreferenceStore, store: RedisStore) -> None:
    wanted = {keys.user_tasks(user) for user in STRANGE} | {keys.user_settings(user, "t") for user in STRANGE}
    for key in wanted:
        await store.command("HSET", key, "t", "1")
    await store.command("SET", keys.GLOBAL_LIMIT, "1")
    assert set(await scanned(preferences)) == wanted


async def test_the_scan_of_many_users_comes_in_pieces(preferences: PreferenceStore, store: RedisStore) -> None:
    await store.pipeline([("HSET", keys.user_tasks(f"user-{number}"), "t", "1") for number in range(3000)])
    pieces = [piece async for piece in preferences.scan()]
    assert len(pieces) > 1
    assert len({key for piece in pieces for key in piece}) == 3000


async def test_keys_that_are_no_text_are_passed_over(preferences: PreferenceStore, store: RedisStore) -> None:
    await store.command("HSET", b"taskqueue:users:\xff\xfe:tasks", "t", "1")
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    assert await scanned(preferences) == [keys.user_tasks("u")]


@pytest.mark.parametrize("user_id", STRANGE)
async def test_switches_are_on_at_1_and_off_at_anything_else(
    preferences: PreferenceStore, store: RedisStore, user_id: str
) -> None:
    await store.command("HSET", keys.user_tasks(user_id), "on", "1", "off", "0", "odd", "true")
    assert await preferences.read([keys.user_tasks(user_id)]) == [
        Switches(user_id=user_id, on=frozenset({"on"}), off=frozenset({"off", "odd"}))
    ]


@pytest.mark.parametrize("user_id", STRANGE)
async def test_a_custom_interval_is_read_as_it_stands(
    preferences: PreferenceStore, store: RedisStore, user_id: str
) -> None:
    await store.command("HSET", keys.user_settings(user_id, "t"), "custom_interval", "nonsense", "parameters", "{}")
    assert await preferences.read([keys.user_settings(user_id, "t")]) == [
        CustomInterval(user_id=user_id, task_id="t", text="nonsense")
    ]


async def test_what_is_gone_is_told_as_gone(preferences: PreferenceStore) -> None:
    assert await preferences.read([keys.user_tasks("u"), keys.user_settings("u", "t")]) == [
        Switches(user_id="u", exists=False),
        CustomInterval(user_id="u", task_id="t", text=None),
    ]


async def test_keys_of_another_type_say_nothing(preferences: PreferenceStore, store: RedisStore) -> None:
    await store.command("SET", keys.user_tasks("u"), "1")
    await store.command("SADD", keys.user_settings("u", "t"), "1")
    assert await preferences.read([keys.user_tasks("u"), keys.user_settings("u", "t")]) == [
        Switches(user_id="u", exists=False),
        CustomInterval(user_id="u", task_id="t", text=None),
    ]


async def test_keys_that_hold_no_preferences_are_left_out(preferences: PreferenceStore, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    found = await preferences.read(["taskqueue:users:u", keys.LEASE, keys.user_tasks("u")])
    assert [one.user_id for one in found] == ["u"]


async def test_many_readers_share_the_pool(preferences: PreferenceStore, store: RedisStore) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    async with asyncio.timeout(10):
        found = await asyncio.gather(*(preferences.read([keys.user_tasks("u")]) for _ in range(50)))
    assert found == [[Switches(user_id="u", on=frozenset({"t"}))]] * 50


async def all_read(preferences: PreferenceStore) -> list[Preference]:
    cursor, found = await preferences.read_next(FIRST)
    while cursor != LAST:
        cursor, more = await preferences.read_next(cursor)
        found += more
    return found


async def test_everything_is_read_as_it_is_found_and_nothing_else(
    preferences: PreferenceStore, store: RedisStore
) -> None:
    for user in STRANGE:
        await store.command("HSET", keys.user_tasks(user), "on", "1", "off", "0")
        await store.command("HSET", keys.user_settings(user, "t"), "custom_interval", user)
    await store.command("HSET", b"taskqueue:users:\xff\xfe:tasks", "t", "1")
    await store.command("SET", keys.user_tasks("of another type"), "1")
    await store.command("SET", keys.GLOBAL_LIMIT, "1")
    await store.command("HSET", "taskqueue:users:not one of them", "t", "1")

    found = await all_read(preferences)

    switches = {Switches(user_id=user, on=frozenset({"on"}), off=frozenset({"off"})) for user in STRANGE}
    intervals = {CustomInterval(user_id=user, task_id="t", text=user) for user in STRANGE}
    assert set(found) == switches | intervals | {Switches(user_id="of another type", exists=False)}


async def test_users_with_many_switches_are_read_as_they_are_found(
    preferences: PreferenceStore, store: RedisStore
) -> None:
    many = [text for number in range(3000) for text in (f"task-{number}", "1")]
    await store.pipeline([("HSET", keys.user_tasks(f"user-{number}"), *many) for number in range(12)])

    found = await all_read(preferences)

    assert sorted(len(one.on) for one in found if isinstance(one, Switches)) == [3000] * 12


async def test_one_call_reads_many_keys_in_their_order(preferences: PreferenceStore, store: RedisStore) -> None:
    users = [f"user-{number}" for number in range(1300)]
    await store.pipeline([("HSET", keys.user_tasks(user), "t", "1") for user in users if user != "user-700"])

    found = await preferences.read([keys.user_tasks(user) for user in users])

    assert [one.user_id for one in found] == users
    assert [one.user_id for one in found if isinstance(one, Switches) and not one.exists] == ["user-700"]


async def test_users_with_many_switches_are_read_in_more_calls(
    preferences: PreferenceStore, store: RedisStore, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"user-{number}" for number in range(12)]
    many = [text for number in range(3000) for text in (f"task-{number}", "1")]
    await store.pipeline([("HSET", keys.user_tasks(user), *many) for user in users])
    calls, call = [], scripts.call

    async def counted(*arguments: object) -> object:
        calls.append(arguments)
        return await call(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(scripts, "call", counted)

    found = await preferences.read([keys.user_tasks(user) for user in users])

    assert [len(one.on) for one in found if isinstance(one, Switches)] == [3000] * 12
    assert len(calls) == 4


async def test_a_hash_with_more_fields_than_switches_can_be_is_not_read(
    preferences: PreferenceStore, store: RedisStore
) -> None:
    fields = [text for number in range(MAX_SWITCHES + 1) for text in (f"task-{number}", "1")]
    await store.command("HSET", keys.user_tasks("u"), *fields)

    assert await preferences.read([keys.user_tasks("u")]) == [
        Switches(user_id="u", exists=False, unread=MAX_SWITCHES + 1)
    ]


@pytest.mark.parametrize("field", ["", "a b", "line\nfeed", "a\n\nb", "x" * 65, b"\xff\xfe", "größe", "task:1"])
async def test_a_field_that_can_be_no_task_is_left_out_and_its_user_still_known(
    preferences: PreferenceStore, store: RedisStore, field: str | bytes
) -> None:
    await store.command("HSET", keys.user_tasks("only that"), field, "1")
    await store.command("HSET", keys.user_tasks("others too"), field, "1", "t", "1", field, "0", "r", "0")

    assert await preferences.read([keys.user_tasks("only that"), keys.user_tasks("others too")]) == [
        Switches(user_id="only that"),
        Switches(user_id="others too", on=frozenset({"t"}), off=frozenset({"r"})),
    ]


async def test_of_an_interval_that_is_far_too_long_only_the_beginning_is_read(
    preferences: PreferenceStore, store: RedisStore
) -> None:
    await store.command("HSET", keys.user_settings("u", "t"), "custom_interval", "[" * (MAX_INTERVAL_BYTES + 1))

    assert await preferences.read([keys.user_settings("u", "t")]) == [
        CustomInterval(user_id="u", task_id="t", text="[" * MAX_INTERVAL_BYTES)
    ]


async def test_reading_works_after_redis_has_forgotten_the_script(
    preferences: PreferenceStore, store: RedisStore
) -> None:
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    await preferences.read([keys.user_tasks("u")])
    await store.command("SCRIPT", "FLUSH")

    assert await preferences.read([keys.user_tasks("u")]) == [Switches(user_id="u", on=frozenset({"t"}))]


async def test_a_refusal_is_no_user_without_preferences(store: RedisStore, redis_settings: RedisSettings) -> None:
    # Whoever may not read must not conclude that everybody has switched everything off.
    await store.command("HSET", keys.user_tasks("u"), "t", "1")
    rights = ("+@connection", "+@scripting", "+role", "+scan")
    await store.command("ACL", "SETUSER", "taskqueue-test-unseeing", "reset", "on", "nopass", "~*", *rights)
    blind = RedisStore(
        redis_settings.model_copy(update={"username": "taskqueue-test-unseeing"}), client_name="taskqueue-test-blind"
    )
    try:
        with pytest.raises(StoreError):
            await PreferenceStore(blind, Scripts(blind, asset_dir("lua"))).read([keys.user_tasks("u")])
    finally:
        await blind.close()
        await store.command("ACL", "DELUSER", "taskqueue-test-unseeing")


def test_keys_are_cut_into_pieces_of_one_call() -> None:
    assert [len(piece) for piece in pieces(map(str, range(1200)))] == [500, 500, 200]
