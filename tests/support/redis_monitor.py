"""What scripts write in Redis, and on whose behalf: Redis tells of every command to a connection that sent MONITOR."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self

from tests.support.system import Place

#: `+1700000000.123456 [9 127.0.0.1:50000] "evalsha" …`, and `[9 lua]` for what a script does
_LINE = re.compile(r'\+[\d.]+ \[(?P<db>\d+) (?P<who>\S+)\] "(?P<command>\w+)"(?P<arguments>.*)')

_READS = frozenset({"get", "exists", "hget", "hmget", "hgetall", "zscore", "lindex", "lrange", "time", "hkeys", "hlen"})


class RedisMonitor:
    """Use it as a context. It sees the commands in the database of `place` from then on."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines: list[re.Match[str]] = []
        self._stack: list[asyncio.StreamWriter] = []
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        host, _, port = self._place.redis_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
        self._stack.append(writer)
        if self._place.redis_password:
            writer.write(f"AUTH {self._place.redis_password}\r\n".encode())
            await reader.readline()
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait({self._reading})
        for writer in self._stack:
            writer.close()
            await writer.wait_closed()

    def scripts(self, token: str) -> int:
        """Return how many scripts were called with `token` so far."""
        return sum(_is_script(line) and token in line["arguments"] for line in self._lines)

    def writes(self, token: str) -> list[str]:
        """Return what scripts that were called with `token` have written so far."""
        found, ours = [], False
        for line in self._lines:
            if line["who"] != "lua":
                ours = _is_script(line) and token in line["arguments"]
            elif ours and line["command"].lower() not in _READS:
                found.append(line[0])
        return found

    async def _read(self, reader: asyncio.StreamReader) -> None:
        async for raw in reader:
            line = _LINE.match(raw.decode(errors="replace"))
            if line and int(line["db"]) == self._place.redis_db:
                self._lines.append(line)


def _is_script(line: re.Match[str]) -> bool:
    return line["command"].lower() == "evalsha"
