"""Lua scripts: loaded from `lua/`, sent by their SHA over the connection that all callers share.

A script may take a section of another file by a line `--@ include NAME.lua#SECTION`; the section stands there between
`-- [SECTION` and `-- SECTION]`, so each piece of logic has one source and every file still runs on its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskqueue.errors import ConfigError, InvalidValueError, StoreUnavailableError, UnknownScriptError
from taskqueue.store.connection import Argument, RedisStore

_INCLUDE = re.compile(r"^--@ include ([a-z_]+\.lua)#([a-z_]+)$", re.MULTILINE)

_FIRST_REST_S = 0.1
_LONGEST_REST_S = 2.0


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

    async def call(self, script: str, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        """Run `script` once and return its reply.

        Raises StoreUnavailableError when no answer came (whether it ran is unknown), StoreError when Redis refused,
        LeaseLostError when the script found another leader, InvalidValueError for a text that is not valid Unicode.
        """
        command = ("EVALSHA", self._shas[script], len(keys), *keys, *arguments)
        try:
            return await self._store.ask(command)
        except UnknownScriptError:
            # With its text Redis runs it and knows it from then on, however often it is told to forget.
            return await self._store.ask(("EVAL", self._sources[script], *command[2:]))
        except UnicodeEncodeError:
            raise InvalidValueError(f"script {script}: an argument is not valid Unicode (lone surrogate)") from None

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


def load_sources(directory: Path) -> dict[str, str]:
    """Return the scripts in `directory` by name, with their includes in place."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.lua"))}
    if not texts:
        raise ConfigError(f"{directory}: no Lua scripts; install taskqueue again")
    return {name.removesuffix(".lua"): _with_includes(name, text, texts) for name, text in texts.items()}


def _with_includes(name: str, text: str, texts: dict[str, str]) -> str:
    def section(match: re.Match[str]) -> str:
        source, mark = match[1], match[2]
        found = re.search(rf"^-- \[{mark}$(.*?)^-- {mark}\]$", texts.get(source, ""), re.MULTILINE | re.DOTALL)
        if found is None:
            raise ConfigError(f"lua/{name}: includes {source}#{mark}, which does not exist")
        return found[1]

    return _INCLUDE.sub(section, text)
