"""How far files of preferences were imported, so that an import that ended early can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, checked

#: whoever has not gone on by then begins anew
_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMark:
    """All records up to the one that begins in `line` are written; `checksum` is the CRC-32 of what they take."""

    line: int
    checksum: int


class ImportMarks:
    """The marks of unfinished imports by file. All methods raise StoreError."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def read(self, files: Iterable[str]) -> dict[str, ImportMark]:
        """Return the marks of those of the files that have one."""
        asked = list(dict.fromkeys(files))
        replies = await self._store.read(*(("GET", keys.import_mark(file)) for file in asked))
        found = ((file, _mark(reply)) for file, reply in zip(asked, replies, strict=True))
        return {file: mark for file, mark in found if mark is not None}

    async def set(self, marks: Mapping[str, ImportMark]) -> None:
        """Note how far each of the files has come."""
        kept_s = int(_KEPT.total_seconds())
        commands = [
            ("SET", keys.import_mark(file), f"{mark.line} {mark.checksum}", "EX", kept_s)
            for file, mark in marks.items()
        ]
        for reply in await self._store.pipeline(commands):
            checked(reply)

    async def forget(self, files: Iterable[str]) -> None:
        """Take the marks of the files away: they are imported to their ends."""
        await self._store.command("DEL", *map(keys.import_mark, files))


def _mark(reply: bytes | None) -> ImportMark | None:
    line, _, checksum = (reply or b"").partition(b" ")
    return ImportMark(line=int(line), checksum=int(checksum)) if line.isdigit() and checksum.isdigit() else None
