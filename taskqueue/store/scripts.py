"""Lua scripts: loaded from `lua/`, sent by their SHA, many callers in one write.

All calls of one turn of the event loop go to Redis as one pipeline, which costs a fraction of a round trip each. A
script may take a section of another file by a line `--@ include NAME.lua#SECTION`; the section stands there between
`-- [SECTION` and `-- SECTION]`, so each piece of logic has one source and every file still runs on its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.exceptions

from taskqueue.errors import ConfigError, InvalidValueError, StoreError, StoreUnavailableError
from taskqueue.store.connection import Argument, RedisStore, refused

_INCLUDE = re.compile(r"^--@ include ([a-z_]+\.lua)#([a-z_]+)$", re.MULTILINE)

#: calls of one write; more of them wait for the next, so that no answer is late because of its neighbours
_MAX_BATCH = 512

_FIRST_REST_S = 0.1
_LONGEST_REST_S = 2.0


@dataclass(slots=True)
class _Call:
    script: str
    command: tuple[Argument, ...]
    reply: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Scripts:
    """The scripts in `directory`, run on `store`.

    Raises ConfigError when the directory holds no scripts or an include cannot be resolved.
    """

    def __init__(self, store: RedisStore, directory: Path) -> None:
        self._store = store
        self._sources = load_sources(directory)
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._sources.items()
        }
        self._waiting: list[_Call] = []
        self._flush: asyncio.Task[None] | None = None

    async def call(self, script: str, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        """Run `script` once and return its reply.

        Raises StoreUnavailableError when no answer came (whether it ran is unknown), StoreError when Redis refused,
        LeaseLostError when the script found another leader, InvalidValueError for a text that is not valid Unicode.
        """
        # What cannot be sent fails here, in its own call, and not in the write that it would share with others.
        parts = [_sendable(part, script) for part in (*keys, *arguments)]
        call = _Call(script, ("EVALSHA", self._shas[script], len(keys), *parts))
        self._waiting.append(call)
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._send_waiting(), name="scripts-flush")
        return await call.reply

    async def call_again(self, script: str, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        """Like call, but ask `redis.max_retries` times again after a lost answer.

        Only for scripts that are harmless when run twice.
        """
        for attempt in range(self._store.max_retries):
            try:
                return await self.call(script, keys, arguments)
            except StoreUnavailableError:
                await asyncio.sleep(min(_FIRST_REST_S * 2**attempt, _LONGEST_REST_S))
        return await self.call(script, keys, arguments)

    async def _send_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            try:
                await self._send(batch)
            except StoreError as error:
                _refuse(batch, error)
            except Exception as error:  # noqa: BLE001 - a defect: whoever waits for an answer must not wait for ever
                _refuse(batch, StoreError(f"scripts: {type(error).__name__}: {error}"))

    async def _send(self, batch: Sequence[_Call]) -> None:
        replies = await self._store.pipeline([call.command for call in batch])
        unknown = [call for call, reply in zip(batch, replies, strict=True) if _is_unknown_script(reply)]
        for call, reply in zip(batch, replies, strict=True):
            if not _is_unknown_script(reply):
                _answer(call, reply)
        if unknown:
            await self._load({call.script for call in unknown})
            again = await self._store.pipeline([call.command for call in unknown])
            for call, reply in zip(unknown, again, strict=True):
                _answer(call, reply)

    async def _load(self, names: set[str]) -> None:
        for reply in await self._store.pipeline([("SCRIPT", "LOAD", self._sources[name]) for name in sorted(names)]):
            if isinstance(reply, Exception):
                raise refused(reply)


def load_sources(directory: Path) -> dict[str, str]:
    """Return the scripts in `directory` by name, with their includes in place."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.lua"))}
    if not texts:
        raise ConfigError(f"{directory}: no Lua scripts; install taskqueue again or check TASKQUEUE_LUA_DIR")
    return {name.removesuffix(".lua"): _with_includes(name, text, texts) for name, text in texts.items()}


def _with_includes(name: str, text: str, texts: dict[str, str]) -> str:
    def section(match: re.Match[str]) -> str:
        source, mark = match[1], match[2]
        found = re.search(rf"^-- \[{mark}$(.*?)^-- {mark}\]$", texts.get(source, ""), re.MULTILINE | re.DOTALL)
        if found is None:
            raise ConfigError(f"lua/{name}: includes {source}#{mark}, which does not exist")
        return found[1]

    return _INCLUDE.sub(section, text)


def _sendable(part: Argument, script: str) -> Argument:
    if not isinstance(part, str):
        return part
    try:
        return part.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"script {script}: an argument is not valid Unicode (lone surrogate)") from None


def _refuse(batch: Sequence[_Call], error: StoreError) -> None:
    for call in batch:
        if not call.reply.done():
            # One exception each: raised in several tasks, one object would gather their tracebacks.
            call.reply.set_exception(type(error)(str(error)))


def _is_unknown_script(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


def _answer(call: _Call, reply: Any) -> None:
    if call.reply.done():  # its caller was cancelled
        return
    if isinstance(reply, Exception):
        call.reply.set_exception(refused(reply))
    else:
        call.reply.set_result(reply)
