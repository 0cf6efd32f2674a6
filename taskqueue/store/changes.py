"""Hearing of changed user preferences at once, whoever writes them.

Redis tells of every write below a prefix to a connection that asked with CLIENT TRACKING in broadcasting mode
(redis.io, "Client-side caching"). In RESP2 the news come as messages of the channel `__redis__:invalidate`, which one
connection may redirect to itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import redis.exceptions
from redis.asyncio import Connection

from taskqueue.errors import StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, translated_errors
from taskqueue.store.users import decoded_keys

_CHANNEL = "__redis__:invalidate"

#: a ping this often keeps the answers coming, so that a silent connection is found dead by its read timeout
_PING_EVERY_S = 0.9


async def user_changes(store: RedisStore) -> AsyncGenerator[list[str] | None, None]:
    """Yield the keys of changed preferences as they change; None says that all may have changed (FLUSHALL).

    The first item is an empty list: from then on nothing is missed. Raises StoreUnavailableError when the connection
    is lost, or leads to what is the primary no more; what changed until the next call is then unknown.
    """
    demotions = store.demotions
    connection = await store.dedicated_connection()
    try:
        with translated_errors():
            await _subscribe(connection)
        pings = asyncio.create_task(_ping(connection), name="user-changes-ping")
        try:
            yield []
            while True:
                with translated_errors():
                    message = await connection.read_response()
                if store.demotions != demotions:
                    # It may stay open for ever, and tell of no change that the new primary does not pass on to it.
                    raise StoreUnavailableError("Redis: the primary that told of changes was demoted")
                if message[0] == b"message":
                    yield None if message[2] is None else decoded_keys(message[2])
        finally:
            pings.cancel()
    finally:
        await connection.disconnect(nowait=True)


async def _subscribe(connection: Connection) -> None:
    await connection.send_command("CLIENT", "ID")
    own_id = await connection.read_response()
    await connection.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", own_id, "BCAST", "PREFIX", keys.USERS_PREFIX)
    await connection.read_response()
    await connection.send_command("SUBSCRIBE", _CHANNEL)
    await connection.read_response()


async def _ping(connection: Connection) -> None:
    while True:
        await asyncio.sleep(_PING_EVERY_S)
        try:
            await connection.send_command("PING")
        except (redis.exceptions.RedisError, OSError):
            return  # the reader meets the same end and reports it
