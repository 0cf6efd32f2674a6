"""Posts: places for schedulers and workers that are there again soon, whatever becomes of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from tests.support.kill_arena import leads
from tests.support.processes import Process
from tests.support.system import Settings, System, merged
from tests.support.tcp_proxy import TcpProxy

Kind = Literal["scheduler", "worker"]

#: seconds until a supervisor has started a program anew
_RESTARTED_AFTER_S = (0.2, 3.0)

#: the exit code of a program whose settings, or tasks.yaml, cannot be used
_BAD_CONFIG = 2


@dataclass(slots=True, kw_only=True)
class Post:
    """A place for one process, behind proxies of its own to both services."""

    kind: Kind
    to_redis: TcpProxy
    to_rabbitmq: TcpProxy
    process: Process | None = None
    #: held by whoever does something to the process
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Posts:
    """All posts of a system. Use it as a context, within that of the system; `settings` are those of each kind."""

    def __init__(
        self, system: System, settings: dict[Kind, Settings], chance: random.Random, note: Callable[[str], None]
    ) -> None:
        self._system = system
        self._settings = settings
        self._chance = chance
        self._note = note
        self._posts: list[Post] = []
        self._past: list[Process] = []
        self._stack = AsyncExitStack()

    async def fill(self, **counts: int) -> None:
        """Start so many of each kind; returns when they are ready."""
        for kind, count in counts.items():
            for _ in range(count):
                place = self._system.place
                post = Post(
                    kind="scheduler" if kind == "scheduler" else "worker",
                    to_redis=await self._proxy(f"redis://{place.redis_address}"),
                    to_rabbitmq=await self._proxy(place.amqp_url),
                )
                self._posts.append(post)
                await self._staff(post)
        await self.ready()

    async def close(self) -> None:
        """Close the proxies."""
        await self._stack.aclose()

    async def ready(self) -> None:
        """Return when every process is."""
        for post in self._posts:
            assert post.process is not None
            await post.process.wait_ready()

    # --- who is there -------------------------------------------------------------------------------------------------

    def of(self, kind: Kind) -> list[Post]:
        """Return the posts of one kind."""
        return [post for post in self._posts if post.kind == kind]

    def running(self, kind: Kind) -> list[Process]:
        """Return the processes of one kind that are there."""
        return [post.process for post in self.of(kind) if post.process is not None]

    @property
    def leading(self) -> list[Post]:
        """The posts of schedulers that lead, by what each said last."""
        return [post for post in self.of("scheduler") if post.process is not None and leads(post.process)]

    def ever(self) -> Iterator[Process]:
        """Yield every process there was."""
        yield from self._past
        yield from self.running("scheduler")
        yield from self.running("worker")

    # --- supervision --------------------------------------------------------------------------------------------------

    async def relieve(self, post: Post) -> None:
        """Start a process at a post whose process has ended, after a while. The post's lock is held."""
        assert post.process is not None
        self._past.append(post.process)
        post.process = None
        await asyncio.sleep(self._chance.uniform(*_RESTARTED_AFTER_S))
        await self._staff(post)

    async def supervise(self) -> NoReturn:
        """Start processes anew that end by themselves, as those do that begin with a broken tasks.yaml."""
        while True:
            await asyncio.sleep(0.2)
            for post in self._posts:
                if not post.lock.locked() and post.process is not None and post.process._process.returncode is not None:
                    async with post.lock:
                        await self._look_into(post, post.process)

    async def _look_into(self, post: Post, process: Process) -> None:
        code = await process.ended(5)
        self._note(f"{process.name} ended by itself: {code}")
        assert code == _BAD_CONFIG, process._last_words()
        assert "tasks.yaml" in process.errors, process.errors
        process.errors = ""  # it was right to say so
        await self.relieve(post)

    async def _staff(self, post: Post) -> None:
        place = self._system.place
        amqp_port = urlsplit(place.amqp_url).port
        behind = {
            "redis": {**place.settings()["redis"], "addresses": [f"127.0.0.1:{post.to_redis.port}"]},
            "queue": {"url": place.amqp_url.replace(f":{amqp_port}/", f":{post.to_rabbitmq.port}/")},
        }
        settings = merged(self._settings[post.kind], behind)
        start = self._system.scheduler if post.kind == "scheduler" else self._system.worker
        post.process = await start(settings)

    async def _proxy(self, url: str) -> TcpProxy:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return await self._stack.enter_async_context(TcpProxy(parts.hostname, parts.port))
