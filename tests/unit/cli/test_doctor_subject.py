"""How a check of `taskqueue doctor` ends that does not get to its findings."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from datetime import timedelta

import pytest

from taskqueue.cli.doctor_subject import Clockwork, Subject, in_passing
from taskqueue.config.sections import RedisSettings
from taskqueue.core.doctor import Finding
from taskqueue.errors import DamagedKeyError, StoreAccessError, StoreUnavailableError


def clockwork(within: timedelta = timedelta(seconds=5)) -> Clockwork:
    subject = Subject(redis=RedisSettings(), amqp_urls=(), wanted=frozenset({"leader"}), environ={}, within=within)
    return Clockwork(subject)


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (DamagedKeyError("taskqueue:due", "holds another type"), "fail"),
        (StoreUnavailableError("redis: the connection was lost"), "fail"),
        (StoreAccessError("redis: no right to GET"), "skipped"),
    ],
)
async def test_what_keeps_a_check_from_being_made_is_a_failure_unless_it_is_a_right(
    error: Exception, severity: str
) -> None:
    async def make() -> Iterable[Finding]:
        raise error

    (found,) = await clockwork().run(("leader",), "leader", make)

    assert (found.severity.value, found.found) == (severity, str(error))


def test_a_check_that_takes_too_long_is_not_said_to_be_well_and_its_thread_is_not_waited_for() -> None:
    let_go = threading.Event()

    async def make() -> Iterable[Finding]:
        await in_passing(lambda: let_go.wait(20))
        return ()

    async def examine() -> list[Finding]:
        return await clockwork(timedelta(seconds=0.1)).run(("leader",), "leader", make)

    began = time.monotonic()
    (found,) = asyncio.run(examine())
    took_s = time.monotonic() - began
    daemons = [thread.daemon for thread in threading.enumerate() if thread.name == "doctor"]
    let_go.set()

    assert (found.severity.value, found.found) == ("warn", "not done within 0.1 s")
    assert took_s < 10
    assert daemons == [True]


async def test_what_is_done_in_passing_is_returned_or_raised() -> None:
    def divide(by: int) -> float:
        return 1 / by

    assert await in_passing(lambda: divide(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        await in_passing(lambda: divide(0))
