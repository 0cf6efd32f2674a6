"""What stands in a Redis database, as values that can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from taskqueue.store.connection import Argument, RedisStore

_READ: dict[bytes, tuple[Argument, Sequence[Argument]]] = {
    b"string": ("GET", ()),
    b"hash": ("HGETALL", ()),
    b"zset": ("ZRANGE", (0, -1, "WITHSCORES")),
    b"set": ("SMEMBERS", ()),
    b"list": ("LRANGE", (0, -1)),
}


async def everything(store: RedisStore) -> dict[str, object]:
    """Return all keys with what they hold: DUMP would tell two hashes apart by the order in which they were filled."""
    names = sorted(await store.command("KEYS", "*"))
    types = await store.pipeline([("TYPE", name) for name in names])
    reads = [_READ[kind] for kind in types]
    values = await store.pipeline([(command, name, *more) for name, (command, more) in zip(names, reads, strict=True)])
    return {
        name.decode(): frozenset(value) if kind == b"set" else value
        for name, kind, value in zip(names, types, values, strict=True)
    }
