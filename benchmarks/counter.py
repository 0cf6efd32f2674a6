"""A consumer that only counts: a few microseconds a message, so that it is never what is measured.

It speaks AMQP 0-9-1 by itself, without acknowledgements, and reads nothing of a message but task and user.
"""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Sequence
from typing import cast
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame, header

from taskqueue.broker.names import FAILED_QUEUE

#: the users that are counted are called `user_0000000` and on, their tasks `bench_0` and on
JOB = re.compile(rb'"task_type_id": ?"bench_(\d+)".*?"user_id": ?"user_(\d+)"')

_FRAME_HEAD = struct.Struct(">BHI")
_METHOD, _BODY = 1, 3
_DELIVER = b"\x00\x3c\x00\x3c"


class Counter(asyncio.Protocol):
    """Counts the jobs of `users` users of `tasks` tasks that come out of `queues`, each job by itself.

    `seconds` are the arrivals by unix second; `first_at` and `last_at` are unix seconds. `version` is the broker's.
    """

    def __init__(self, amqp_url: str, queues: Sequence[str], *, tasks: int, users: int) -> None:
        self._url = urlsplit(amqp_url)
        self._queues = queues
        self._users = users
        self._seen = bytearray(tasks * users)
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._consuming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.jobs = 0
        self.foreign = 0
        self.seconds: dict[int, int] = {}
        self.first_at = self.last_at = 0.0
        self.version = ""

    @property
    def expected(self) -> int:
        """Jobs that can come: each task for each user."""
        return len(self._seen)

    @property
    def missing(self) -> int:
        """Jobs that have not come."""
        return self._seen.count(0)

    @property
    def repeated(self) -> int:
        """Messages that came for a job that had come already."""
        return self.jobs - (len(self._seen) - self.missing)

    def forget(self) -> None:
        """Count from nothing again."""
        self._seen = bytearray(len(self._seen))
        self.jobs = self.foreign = 0
        self.first_at = self.last_at = 0.0
        self.seconds.clear()

    async def start(self) -> None:
        """Connect and consume. Raises OSError or TimeoutError."""
        host, port = self._url.hostname or "localhost", self._url.port or 5672
        async with asyncio.timeout(30):
            await asyncio.get_running_loop().create_connection(lambda: self, host, port)
            await self._consuming

    def stop(self) -> None:
        """Disconnect."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the broker."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        transport.write(header.ProtocolHeader().marshal())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who still waits."""
        if not self._consuming.done():
            self._consuming.set_exception(exc or ConnectionError("RabbitMQ closed the connection of the counter"))

    def data_received(self, data: bytes) -> None:
        """Read whole frames; keep the rest for later."""
        buffer, position, before = self._rest + data, 0, self.jobs
        while len(buffer) - position >= 8:
            kind, _, size = _FRAME_HEAD.unpack_from(buffer, position)
            end = position + 8 + size
            if end > len(buffer):
                break
            if kind == _BODY:
                self._count(buffer, position + 7, end - 1)
            elif kind == _METHOD and buffer[position + 7 : position + 11] != _DELIVER:
                self._answer(frame.unmarshal(buffer[position:end])[2])
            position = end
        self._rest = buffer[position:]
        if self.jobs > before:
            self.last_at = time.time()
            self.first_at = self.first_at or self.last_at
            second = int(self.last_at)
            self.seconds[second] = self.seconds.get(second, 0) + self.jobs - before

    def _count(self, buffer: bytes, start: int, end: int) -> None:
        job = JOB.search(buffer, start, end)
        if job is None:
            self.foreign += 1
            return
        place = int(job[1]) * self._users + int(job[2])
        self._seen[place] = min(255, self._seen[place] + 1)
        self.jobs += 1

    def _answer(self, method: object) -> None:
        if isinstance(method, commands.Connection.Start):
            version = method.server_properties.get("version", b"?")
            self.version = version.decode() if isinstance(version, bytes) else str(version)
            user, password = unquote(self._url.username or "guest"), unquote(self._url.password or "guest")
            self._send(0, commands.Connection.StartOk({}, "PLAIN", f"\0{user}\0{password}", "en_US"))
        elif isinstance(method, commands.Connection.Tune):
            self._send(0, commands.Connection.TuneOk(method.channel_max, method.frame_max, 0))
            self._send(0, commands.Connection.Open(unquote(self._url.path[1:]) or "/"))
        elif isinstance(method, commands.Connection.OpenOk):
            self._send(1, commands.Channel.Open())
        elif isinstance(method, commands.Channel.OpenOk):
            for queue in self._queues:
                self._send(1, commands.Basic.Consume(queue=queue, no_ack=True))
        elif isinstance(method, commands.Basic.ConsumeOk) and not self._consuming.done():
            self._consuming.set_result(None)
        elif isinstance(method, commands.Connection.Close | commands.Channel.Close):
            self.connection_lost(ConnectionError(f"RabbitMQ closed the counter: {method.reply_text}"))

    def _send(self, channel: int, method: frame.FrameTypes) -> None:
        assert self._transport is not None
        self._transport.write(frame.marshal(method, channel))


async def broker_version(amqp_url: str) -> str:
    """Return what RabbitMQ says it is. Raises OSError or TimeoutError."""
    counter = Counter(amqp_url, (FAILED_QUEUE,), tasks=0, users=0)
    await counter.start()
    counter.stop()
    return counter.version
