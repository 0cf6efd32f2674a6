"""What `taskqueue doctor` is told to look at, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import SchedulerSettings
from taskqueue.core.doctor import CHECKS_BY_ID, Finding, fail, skipped, warn
from taskqueue.errors import DamagedKeyError, StoreUnavailableError, TaskqueueError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Two services, and what else is known of the system.

    `scheduler` is None where only a worker's settings are known, `call_timeout` the default of a call where it is. With
    `full` all keys and preferences are looked at, however long that takes; else everything ends within `within`.
    """

    redis: RedisSettings
    amqp_urls: Sequence[str] = field(repr=False)
    scheduler: SchedulerSettings | None = None
    call_timeout: timedelta | None = None
    management: str | None = field(default=None, repr=False)
    rabbitmqctl: str | None = None
    full: bool = False
    wanted: frozenset[str]
    environ: Mapping[str, str] = field(repr=False)
    within: timedelta = timedelta(seconds=13)
    canary_within: timedelta = timedelta(seconds=6)

    @property
    def redis_place(self) -> str:
        """Where Redis is looked for."""
        return ", ".join(self.redis.addresses)

    def wants(self, *checks: str) -> bool:
        """Return whether one of `checks` is to be made."""
        return not self.wanted.isdisjoint(checks)


Make = Callable[[], Awaitable[Iterable[Finding]]]


class Clockwork:
    """Gives each check what is left of the time that all of them have; begins to run when it is made."""

    def __init__(self, subject: Subject) -> None:
        now = asyncio.get_running_loop().time()
        self._subject = subject
        self.deadline = None if subject.full else now + subject.within.total_seconds()

    async def run(self, checks: Sequence[str], place: str, make: Make) -> list[Finding]:
        """Return what `make` finds where one of `checks` is wanted; one finding for each where that comes to nothing.

        A key that is damaged and a service that is lost meanwhile are failures, too little time is a warning; what
        doctor may not do is skipped. `make` raises nothing but our errors.
        """
        if not self._subject.wants(*checks):
            return []
        judged: Callable[[str, str, str, str], Finding] = skipped
        remedy = ""
        try:
            async with asyncio.timeout_at(self.deadline):
                return list(await make())
        except TimeoutError:
            why, remedy = f"not done within {self._subject.within.total_seconds():g} s", "--full gives it all the time"
            judged = warn
        except DamagedKeyError as error:
            judged, why, remedy = fail, str(error), "mend that key; nobody else gets past it either"
        except StoreUnavailableError as error:
            judged, why, remedy = fail, str(error), CHECKS_BY_ID["redis-reachable"].remedy
        except TaskqueueError as error:
            why = str(error)
        return [judged(check, place, why, remedy) for check in checks]


async def in_passing(call: Callable[[], T]) -> T:
    """Return what `call` does, in a thread that nobody waits for when this is cancelled: not at the end either."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not result.done():
            set_it()

    def work() -> None:
        try:
            done = call()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            outcome = partial(result.set_exception, error)
        else:
            outcome = partial(result.set_result, done)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="doctor", daemon=True).start()
    return await result
