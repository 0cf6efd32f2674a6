"""The connection to Redis: candidates for one primary, bounded waits, our own errors."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar

import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import (
    DamagedKeyError,
    LeaseLostError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
    UnknownScriptError,
)
from taskqueue.store.multiplexer import Argument, Conversation, Multiplexer

__all__ = ["Argument", "RedisStore"]

_T = TypeVar("_T")

#: within so many seconds all commands that were under way have met a demotion
_DEMOTION_S = 1.0

#: what a primary says that was demoted under open connections
_DEMOTED = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)

#: one answer may take this long; three of them fit into the lease's margin
COMMAND_TIMEOUT_S = 2.0

_LEASE_LOST = "LEASELOST"
_WRONG_TYPE = "WRONGTYPE"
_NO_SCRIPT = "NOSCRIPT"
#: of scripts that looked before they wrote; the key follows, then the type that it holds
_WRONG_KEY = re.compile(r"WRONGKEY (.*) holds a ([a-z]+)", re.DOTALL)
#: the same for what a key of the right type holds; the key follows, then what is wrong
_UNREADABLE = re.compile(r"UNREADABLE (.*) (has no number in its field [a-z_]+)", re.DOTALL)
_REMEDIES = {
    "OOM": "Redis is out of memory; raise maxmemory (its policy must be noeviction)",
    "MISCONF": "Redis cannot write its append-only file; free disk space on its host",
    "NOREPLICAS": "Redis wants more replicas before it takes writes; bring them back, or lower min-replicas-to-write",
    "READONLY": "this Redis is a replica; point redis.addresses at the primary",
    "MOVED": "this Redis is part of a Redis Cluster, whose nodes cannot run scripts over all our keys; use a plain one",
    "CROSSSLOT": "this is a Redis Cluster, whose nodes cannot run scripts over all our keys; use a plain Redis",
    "NOAUTH": "Redis wants a password; set redis.password",
    "WRONGPASS": "Redis refused user name or password; check redis.username and redis.password",
    "NOPERM": "the Redis user lacks a right; see docs/redis.md for the rights taskqueue needs",
    "UNKNOWN": "this Redis has that command renamed or switched off; taskqueue needs it by its own name",
}
#: those of them that are about user, password and rights
_ACCESS_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


class RedisStore:
    """A pool of connections to the primary among `settings.addresses`, and one that all callers of `ask` share.

    Commands are never retried by the client library: whether a lost command ran is unknown, and only the caller knows
    whether running it twice is harmless. Replies are bytes, as Redis keeps them.
    """

    def __init__(self, settings: RedisSettings, *, client_name: str) -> None:
        self._settings = settings
        self._candidates = _Candidates(settings.endpoints)
        self._connection_options: dict[str, Any] = {
            "username": settings.username,
            "password": settings.password.get_secret_value() or None,
            "db": settings.db,
            "client_name": client_name,
            "protocol": 2,
            "socket_timeout": COMMAND_TIMEOUT_S,
            "socket_connect_timeout": COMMAND_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": _greet,
        }
        pool: BlockingConnectionPool = BlockingConnectionPool(
            max_connections=settings.pool_size,
            timeout=COMMAND_TIMEOUT_S,
            connection_class=self._connection_class(),
            **self._connection_options,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._execute: Callable[..., Awaitable[Any]] = self._redis.execute_command
        self._multiplexer = Multiplexer(self._converse)
        #: how often a Redis that we had for the primary was found to be none
        self.demotions = 0
        self._demoted_at = -inf

    @property
    def max_retries(self) -> int:
        """How often a caller that may do so asks again after a lost answer."""
        return self._settings.max_retries

    async def command(self, *arguments: Argument) -> Any:
        """Run one command and return its reply.

        Raises StoreUnavailableError when no answer came, StoreError when Redis refused, DamagedKeyError when the key
        holds another type.
        """
        with translated_errors():
            try:
                return await self._execute(*arguments)
            except _DEMOTED:
                await self._leave_replica()
                raise
            except redis.exceptions.ResponseError as error:
                if len(arguments) > 1:
                    raise refused_for(str(arguments[1]), error) from None
                raise

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send `commands` in one write and return their replies in order; a refused command's reply is its exception.

        Raises StoreUnavailableError when the connection was lost: any prefix of the commands may have run.
        """
        if not commands:
            return []
        with translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies = list(await pipeline.execute(raise_on_error=False))
            if any(isinstance(reply, _DEMOTED) for reply in replies):
                await self._leave_replica()
            return replies

    async def read(self, *commands: Sequence[Argument]) -> list[Any]:
        """Like `pipeline`, for answers that are of use only together: raises as `command` for the first one refused."""
        replies = await self.pipeline(commands)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception):
                raise refused_for(str(command[1]), reply) if len(command) > 1 else translated(reply)
        return replies

    async def ask(self, command: Sequence[Argument]) -> Any:
        """Run one command over the connection that many callers share, and return its reply.

        For what is asked often and answered at once. Raises StoreUnavailableError when no answer came, StoreError when
        Redis refused, UnicodeEncodeError for a text that is not valid Unicode.
        """
        try:
            return await self._multiplexer.ask(command)
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise await self._why_not(error) from None

    async def ask_each(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Like `pipeline`, over the connection that many callers share: for many questions that are answered at once.

        It costs a fifth of that, and packs no better what is long.
        """
        replies = await asyncio.gather(*map(self._multiplexer.ask, commands), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, redis.exceptions.ResponseError):
                raise await self._why_not(reply)
        return list(replies)

    async def dedicated_connection(self) -> Connection:
        """Open a connection outside the pool, for a conversation that is not request and answer.

        Its Redis may become a replica under it: `demotions` is then another number than before it was opened.
        """
        with translated_errors():
            connection: Connection = self._connection_class()(**self._connection_options)
            connect: Callable[[], Awaitable[None]] = connection.connect
            await connect()
            return connection

    async def close(self) -> None:
        """Close every connection."""
        self._multiplexer.close()
        with translated_errors():
            await self._redis.aclose()

    async def _why_not(self, error: Exception) -> StoreError:
        """Return our error for one of a command that was asked; whoever asks next looks for the primary again."""
        if str(error).startswith(("READONLY", "MASTERDOWN")):
            await self._leave_replica()
        return translated(error)

    async def _leave_replica(self) -> None:
        # The primary was demoted under open connections: whoever connects next looks for the new one.
        now = time.monotonic()
        if now - self._demoted_at > _DEMOTION_S:  # else it is one that other commands have met as well
            self.demotions += 1
            self._demoted_at = now
        self._multiplexer.hang_up()
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def _converse(self) -> Conversation:
        """Begin a conversation with the primary."""
        return await self._candidates.first(self._converse_with)

    async def _converse_with(self, host: str, port: int) -> Conversation:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            tls = ssl.create_default_context() if self._settings.tls else None
            _, conversation = await loop.create_connection(
                lambda: Conversation(COMMAND_TIMEOUT_S), host, port, ssl=tls, server_hostname=host if tls else None
            )
        try:
            await self._log_in(conversation)
        except BaseException:
            conversation.close()
            raise
        return conversation

    async def _log_in(self, conversation: Conversation) -> None:
        options = self._connection_options
        if options["username"] or options["password"]:
            user = [options["username"]] if options["username"] else []
            try:
                await conversation.ask(["AUTH", *user, options["password"] or ""])
            except redis.exceptions.ResponseError as error:
                raise redis.exceptions.AuthenticationError(str(error)) from None
        await conversation.ask(["CLIENT", "SETNAME", options["client_name"]])
        await conversation.ask(["SELECT", options["db"]])
        _check_primary(await conversation.ask(["ROLE"]))

    def _connection_class(self) -> type[Connection]:
        base = SSLConnection if self._settings.tls else Connection
        candidates = self._candidates

        class PrimaryConnection(base):  # type: ignore[misc, valid-type]  # the base depends on the settings
            """A connection to the first candidate that answers as a primary."""

            async def connect(self) -> None:
                if not self.is_connected:
                    await candidates.first(self._connect_to)

            async def _connect_to(self, host: str, port: int) -> None:
                self.host, self.port = host, port
                await super().connect()

            async def send_packed_command(self, command: bytes | Iterable[bytes], check_health: bool = False) -> None:
                # The library's own uses asyncio.wait_for, which until Python 3.12 swallows a cancellation that comes
                # at the moment of success: a loop that was told to stop would then go on for ever.
                if not self.is_connected:
                    await self.connect_check_health(check_health=check_health)
                try:
                    async with asyncio.timeout(COMMAND_TIMEOUT_S):
                        await self._send_packed_command([command] if isinstance(command, bytes) else command)
                except RuntimeError as error:
                    # What uvloop says of a connection that was reset since the pool looked at it.
                    await self.disconnect(nowait=True)
                    raise redis.exceptions.ConnectionError(str(error)) from None
                except BaseException:
                    await self.disconnect(nowait=True)  # half a command may have gone out
                    raise

        return PrimaryConnection


class _Candidates:
    """Where the primary may be. The one that was it last time is tried first."""

    def __init__(self, endpoints: Sequence[tuple[str, int]]) -> None:
        self._endpoints = list(endpoints)

    async def first(self, connect: Callable[[str, int], Awaitable[_T]]) -> _T:
        """Return what `connect` made of the primary. A refused password ends the search: it is the same everywhere.

        The first address has as long as `connect` waits for each answer; the others share the time of one answer, so
        that many which are mute cost no more than two.
        """
        refusals: list[str] = []
        share_s = COMMAND_TIMEOUT_S / max(1, len(self._endpoints) - 1)
        for endpoint in tuple(self._endpoints):
            try:
                async with asyncio.timeout(share_s if refusals else None):
                    connected = await connect(*endpoint)
            except redis.exceptions.AuthenticationError:
                raise
            except redis.exceptions.InvalidResponse:
                # Its text quotes what came, which is another's.
                refusals.append(f"{endpoint[0]}:{endpoint[1]}: what answers there is not Redis")
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
                silence = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
                refusals.append(f"{endpoint[0]}:{endpoint[1]}: {str(error) or silence}")
            else:
                # Another connection may have put its own find first meanwhile; both are primaries.
                self._endpoints.sort(key=lambda known: known != endpoint)
                return connected
        raise redis.exceptions.ConnectionError("; ".join(refusals))


async def _greet(connection: Connection) -> None:
    """Log in, and accept only a primary."""
    log_in: Callable[[], Awaitable[None]] = connection.on_connect
    await log_in()
    await connection.send_command("ROLE")
    _check_primary(await connection.read_response())


def _check_primary(role: Sequence[object]) -> None:
    if role[0] not in (b"master", "master"):
        raise redis.exceptions.ConnectionError("this is a replica, not the primary")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the library's exceptions into ours. Their texts name hosts and commands, never values or passwords."""
    try:
        yield
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        raise translated(error) from None


def translated(error: Exception) -> StoreError:
    """Return our error for one of the library's."""
    # A refused login is a lost connection for the library, and a replica without its primary none.
    refusals = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)
    lost = (
        *(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, redis.exceptions.MasterDownError),
        *(redis.exceptions.InvalidResponse, OSError, TimeoutError),
    )
    if isinstance(error, lost) and not isinstance(error, refusals):
        return StoreUnavailableError(f"Redis: {str(error) or type(error).__name__}")
    return refused(error)


def checked(reply: Any) -> Any:
    """Return one reply of a pipeline; raise StoreError where Redis refused the command."""
    if isinstance(reply, Exception):
        raise translated(reply)
    return reply


def damaged(key: str, found: str = "") -> DamagedKeyError:
    """Return the error for a key that holds another type than belongs there; `found`, where that is known."""
    return DamagedKeyError(key, f"holds a {found}, which does not belong there" if found else "holds another type")


def refused_for(key: str, error: Exception) -> StoreError:
    """Return the error for a reply in which Redis refused a command on `key`."""
    return damaged(key) if str(error).startswith(_WRONG_TYPE) else translated(error)


def refused(error: Exception) -> StoreError:
    """Return the error that stands for a reply in which Redis refused a command."""
    text = str(error)
    if text.startswith(_NO_SCRIPT):
        return UnknownScriptError(f"Redis: {text}")
    if _LEASE_LOST in text:
        return LeaseLostError("the lease is held by another scheduler now")
    if wrong_key := _WRONG_KEY.match(text):
        return damaged(wrong_key[1], wrong_key[2])
    if unreadable := _UNREADABLE.match(text):
        return DamagedKeyError(unreadable[1], unreadable[2], unreadable=True)
    code, remedy = next(((code, each) for code, each in _REMEDIES.items() if code in _codes(error, text)), ("", ""))
    # Redis repeats the arguments of a command it does not know: with AUTH renamed, that is the password.
    text = text.partition(", with args beginning")[0]
    kind = StoreAccessError if code in _ACCESS_CODES else StoreError
    return kind(f"Redis: {text[:300]}" + (f"; {remedy}" if remedy else ""))


def _codes(error: Exception, text: str) -> tuple[str, ...]:
    # redis-py cuts the code off the errors it has classes for; the class name says the same.
    by_class = {
        "OutOfMemoryError": "OOM",
        "ReadOnlyError": "READONLY",
        "NoPermissionError": "NOPERM",
        "AuthenticationError": "WRONGPASS",
        "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
        "MovedError": "MOVED",
        "ClusterCrossSlotError": "CROSSSLOT",
    }
    unknown = "UNKNOWN" if text.removeprefix("ERR ").startswith("unknown command") else ""
    return (by_class.get(type(error).__name__, ""), unknown, *text.split()[:1])
