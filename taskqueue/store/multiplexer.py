"""One connection to Redis for the commands of many callers: one write for a turn of the event loop, answers in order.

A client that checks a connection out for each command, or waits for one batch before it sends the next, spends several
times as much on a command as Redis does. Here whoever asks adds to the next write and waits for an answer of its own.
hiredis packs and reads, as it does for redis-py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import hiredis
import redis.exceptions

Argument = str | bytes | int | float

_INCOMPLETE = object()

#: how Redis says that it serves nobody just now, whatever the command; for redis-py these are lost connections too
_NOT_NOW = ("LOADING ", "MASTERDOWN ", "ERR max number of clients reached")


class Conversation(asyncio.Protocol):
    """One connection. It is over when it is lost, or when nothing comes for `timeout_s` while an answer is due.

    Whoever waits for an answer then gets redis.exceptions.ConnectionError or TimeoutError: the command may have run.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            replyError=_reply_error,
            protocolError=redis.exceptions.InvalidResponse,
            notEnoughData=_INCOMPLETE,
        )
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self._unanswered: deque[asyncio.Future[Any]] = deque()
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._end: redis.exceptions.RedisError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._end is not None

    def ask(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Send `command` with the next write; return what completes with its answer, or raises ResponseError.

        Where Redis serves nobody just now that is a redis.exceptions.ConnectionError. Raises UnicodeEncodeError for a
        text that is not valid Unicode.
        """
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # its stub means a tuple of one
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._end is not None:
            answer.set_exception(self._end)
            return answer
        if not self._unsent:
            self._loop.call_soon(self._send)
        if not self._unanswered:
            self._heard_at = self._loop.time()
        self._unsent.append(packed)
        self._unanswered.append(answer)
        return answer

    def close(self) -> None:
        """End the conversation; answers that are still due are lost."""
        self._finish(redis.exceptions.ConnectionError("closed"))

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)  # what it is for every stream socket
        self._watch = self._loop.call_later(self._timeout_s / 2, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._finish(redis.exceptions.ConnectionError(str(exc) if exc else "the connection was closed by Redis"))

    def data_received(self, data: bytes) -> None:
        """Hand out the answers in `data`, in the order of the questions."""
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                if not self._unanswered and isinstance(reply, redis.exceptions.ConnectionError):
                    self._finish(reply)  # a Redis that is full says so unasked
                    return
                answer = self._unanswered.popleft()
                if answer.done():  # its caller was cancelled
                    continue
                if isinstance(reply, Exception):
                    answer.set_exception(reply)
                else:
                    answer.set_result(reply)
        except (redis.exceptions.InvalidResponse, IndexError) as error:
            self._finish(redis.exceptions.ConnectionError(f"not the answers of a Redis: {error}"))

    # --- within -------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        if self._transport is not None and self._end is None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        if self._unanswered and self._loop.time() - self._heard_at >= self._timeout_s:
            self._finish(redis.exceptions.TimeoutError(f"no answer within {self._timeout_s:g} s"))
            return
        self._watch = self._loop.call_later(self._timeout_s / 4, self._look)

    def _finish(self, end: redis.exceptions.RedisError) -> None:
        if self._end is not None:
            return
        self._end = end
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._unanswered:
            answer = self._unanswered.popleft()
            if not answer.done():
                # One exception each: raised in several tasks, one object would gather their tracebacks.
                answer.set_exception(type(end)(*end.args))


def _reply_error(text: str) -> redis.exceptions.RedisError:
    if text.startswith(_NOT_NOW):
        return redis.exceptions.ConnectionError(text)
    return redis.exceptions.ResponseError(text)


class Multiplexer:
    """Keeps a conversation going: `connect` begins a new one when it is needed, for all who ask meanwhile."""

    def __init__(self, connect: Callable[[], Awaitable[Conversation]]) -> None:
        self._connect = connect
        self._conversation: Conversation | None = None
        self._attempt: asyncio.Task[Conversation] | None = None

    def ask(self, command: Sequence[Argument]) -> Awaitable[Any]:
        """Run one command; await its answer. Raises what `connect` does, and redis.exceptions.RedisError."""
        conversation = self._conversation
        if conversation is None or conversation.over:
            return self._ask_anew(command)
        return conversation.ask(command)

    def hang_up(self) -> None:
        """End the conversation; the next command begins another one."""
        if self._conversation is not None:
            self._conversation.close()

    def close(self) -> None:
        """End the conversation, and the attempt at another one."""
        if self._attempt is not None:
            self._attempt.cancel()
        self.hang_up()

    async def _ask_anew(self, command: Sequence[Argument]) -> Any:
        conversation = await self._begin()
        return await conversation.ask(command)

    async def _begin(self) -> Conversation:
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._connected())
            self._attempt.add_done_callback(self._attempted)
        attempt = self._attempt
        await asyncio.wait((attempt,))  # which leaves it to the others when this caller is cancelled
        if attempt.cancelled():
            raise redis.exceptions.ConnectionError("closed")
        return attempt.result()

    async def _connected(self) -> Conversation:
        self._conversation = await self._connect()
        return self._conversation

    def _attempted(self, attempt: asyncio.Task[Conversation]) -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # seen, even where everybody who waited was cancelled
