from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from taskqueue.assets import asset_dir
from taskqueue.errors import InvalidValueError, StoreError, StoreUnavailableError
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.scripts import Scripts, load_sources

SOURCES = {
    "echo.lua": "return ARGV[1]\n",
    "fail.lua": "return redis.error_reply('NOPE ' .. ARGV[1])\n",
    "add.lua": "return redis.call('INCRBY', KEYS[1], ARGV[1])\n",
}


@pytest.fixture
def own_scripts(store: RedisStore, tmp_path: Path) -> Scripts:
    """Three small scripts."""
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return Scripts(store, tmp_path)


async def test_a_script_that_redis_does_not_know_is_loaded_and_run(own_scripts: Scripts, store: RedisStore) -> None:
    await store.command("SCRIPT", "FLUSH")
    assert await own_scripts.call("echo", [], ["a"]) == b"a"


async def test_scripts_survive_a_flush_between_two_calls(own_scripts: Scripts, store: RedisStore) -> None:
    assert await own_scripts.call("add", ["n"], [1]) == 1
    await store.command("SCRIPT", "FLUSH")
    assert await own_scripts.call("add", ["n"], [1]) == 2


async def test_only_what_was_unknown_is_run_again(own_scripts: Scripts, store: RedisStore) -> None:
    await store.command("SCRIPT", "FLUSH")
    await own_scripts.call("add", ["n"], [0])
    replies = await asyncio.gather(
        own_scripts.call("add", ["n"], [1]), own_scripts.call("echo", [], ["a"]), own_scripts.call("add", ["n"], [1])
    )
    assert replies == [1, b"a", 2]
    assert await store.command("GET", "n") == b"2"


async def test_an_error_hurts_its_own_call_alone(own_scripts: Scripts) -> None:
    replies = await asyncio.gather(
        own_scripts.call("echo", [], ["before"]),
        own_scripts.call("fail", [], ["because"]),
        own_scripts.call("echo", [], ["after"]),
        return_exceptions=True,
    )
    assert (replies[0], replies[2]) == (b"before", b"after")
    assert isinstance(replies[1], StoreError)
    assert "NOPE because" in str(replies[1])


async def test_an_argument_that_cannot_be_sent_hurts_its_own_call_alone(own_scripts: Scripts) -> None:
    async with asyncio.timeout(5):
        replies = await asyncio.gather(
            own_scripts.call("echo", [], ["before"]),
            own_scripts.call("echo", [], ["half a character: \ud800"]),
            own_scripts.call("echo", [], ["after"]),
            return_exceptions=True,
        )
    assert (replies[0], replies[2]) == (b"before", b"after")
    assert isinstance(replies[1], InvalidValueError)


async def test_a_caller_that_went_away_hurts_nobody(own_scripts: Scripts) -> None:
    gone = asyncio.create_task(own_scripts.call("echo", [], ["gone"]))
    await asyncio.sleep(0)
    stays = asyncio.create_task(own_scripts.call("echo", [], ["stays"]))
    gone.cancel()
    async with asyncio.timeout(5):
        assert await stays == b"stays"
        assert await own_scripts.call("echo", [], ["later"]) == b"later"


async def test_call_again_asks_again_after_a_lost_answer(
    own_scripts: Scripts, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, answers_lost = store.ask, 2

    async def sometimes(command: Sequence[Argument]) -> Any:
        nonlocal answers_lost
        answers_lost -= 1
        if answers_lost >= 0:
            raise StoreUnavailableError("connection lost")
        return await ask(command)

    monkeypatch.setattr(store, "ask", sometimes)
    assert await own_scripts.call_again("echo", [], ["a"]) == b"a"


async def test_every_script_of_ours_is_one_that_redis_accepts(store: RedisStore) -> None:
    for name, text in load_sources(asset_dir("lua")).items():
        assert len(await store.command("SCRIPT", "LOAD", text)) == 40, name
