from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from taskqueue.core.host_limit import HostReport, Sign
from taskqueue.core.outcome import Outcome, outcome_of_failure, outcome_of_status
from taskqueue.core.task import Target
from taskqueue.store.hosts import HostReports, HostStore
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.worker_events import HostClosed, HostOpened
from taskqueue.worker.hosts import Hosts, Passage
from tests.support.fakes import targeting

HOST = "https://api.example.com:443"
REPORTS = targeting(Target(endpoint="https://api.example.com/reports/{user_id}"))
MAILS = replace(targeting(Target(endpoint="https://API.example.com/mails")), id="mails")
ELSEWHERE = targeting(Target(endpoint="https://other.example.com/reports"))

WELL = outcome_of_status(200)
BUSY = outcome_of_status(503)
SILENT = outcome_of_failure("timeout", "", effect_unknown=True)
REFUSED = outcome_of_failure("connection_refused", "", effect_unknown=False)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def hosts(clock: FakeClock, told: list[Event]) -> Hosts:
    store = cast(HostStore, None)  # not asked: what is tested is what follows from calls and reports
    return Hosts(store, "worker-1:aa", most_calls=4, now=clock, jitter=lambda: 0.999_999, emit=told.append)


def call(hosts: Hosts, outcome: Outcome, times: int = 1) -> None:
    for _ in range(times):
        entered = hosts.enter(REPORTS)
        assert not isinstance(entered, timedelta)
        hosts.leave(REPORTS, entered, outcome)


def hear(hosts: Hosts, clock: FakeClock, others: Mapping[str, HostReport]) -> None:
    hosts._hear({HOST: others}, clock().timestamp())


def test_a_host_without_trouble_is_not_limited(hosts: Hosts) -> None:
    call(hosts, WELL, 1000)

    assert hosts.enter(REPORTS) is None
    assert hosts._reports() == {}


@pytest.mark.parametrize("outcome", [BUSY, outcome_of_status(429), REFUSED])
def test_a_host_that_keeps_refusing_is_closed_for_all_tasks_that_call_it(hosts: Hosts, outcome: Outcome) -> None:
    call(hosts, outcome, 3)

    assert hosts.enter(REPORTS) == hosts.enter(MAILS) == timedelta(seconds=1)
    assert hosts.enter(ELSEWHERE) is None


def test_a_host_that_says_how_long_is_closed_after_one_call(hosts: Hosts) -> None:
    call(hosts, outcome_of_status(429, timedelta(seconds=20)))
    assert hosts.enter(REPORTS) == timedelta(seconds=20)


def test_calls_that_began_before_the_trouble_count_as_one_trouble(hosts: Hosts) -> None:
    entered = [hosts.enter(REPORTS) for _ in range(4)]
    for each in entered:
        assert not isinstance(each, timedelta)
        hosts.leave(REPORTS, each, BUSY)

    assert entered == [None, None, None, None]
    assert hosts._reports()[HOST].limit == 2


def test_a_host_that_takes_calls_and_answers_none_leaves_hands_for_others(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, SILENT, 4)
    hear(hosts, clock, {})

    assert isinstance(hosts.enter(REPORTS), Passage)
    assert hosts.enter(REPORTS) == timedelta(milliseconds=50)
    assert hosts.enter(ELSEWHERE) is None


def test_one_probe_at_a_time_looks_whether_a_closed_host_is_back(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, BUSY, 3)
    clock.later(1)

    assert isinstance(hosts.enter(REPORTS), Passage)
    assert isinstance(hosts.enter(MAILS), timedelta)


def test_a_job_that_looks_waits_a_moment_for_another_and_in_redis_for_a_probe(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, BUSY, 3)
    clock.later(1)
    looking = hosts.enter(REPORTS)
    assert isinstance(looking, Passage)
    assert hosts.enter(MAILS) == timedelta(milliseconds=50)

    assert hosts.may_call(looking)

    assert hosts.enter(MAILS) == timedelta(minutes=5)
    assert hosts.may_call(None)


def test_a_probe_that_was_never_called_leaves_its_place_to_the_next_one(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, BUSY, 3)
    clock.later(1)
    entered = hosts.enter(REPORTS)
    assert isinstance(entered, Passage)
    hosts.leave(REPORTS, entered, None)

    assert isinstance(hosts.enter(MAILS), Passage)


def test_a_host_that_is_back_gets_more_and_more_calls_until_nothing_limits_it(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, BUSY, 3)
    clock.later(1)
    call(hosts, WELL)
    first = hosts.enter(REPORTS)
    assert isinstance(first, Passage)
    assert hosts.enter(REPORTS) == timedelta(milliseconds=50)
    hosts.leave(REPORTS, first, WELL)

    for _ in range(20):
        clock.later(0.1)
        call(hosts, WELL)
    hear(hosts, clock, {})

    assert hosts.enter(REPORTS) is None


def test_the_log_hears_of_each_closing_and_of_the_opening(hosts: Hosts, clock: FakeClock, told: list[Event]) -> None:
    call(hosts, BUSY, 3)
    clock.later(1)
    call(hosts, BUSY)
    clock.later(2)
    call(hosts, WELL, 3)

    assert told == [
        HostClosed(host=HOST, closings=1, seconds=1.0),
        HostClosed(host=HOST, closings=2, seconds=2.0),
        HostOpened(host=HOST),
    ]


def test_a_call_that_broke_off_and_a_job_without_a_call_say_nothing(hosts: Hosts) -> None:
    call(hosts, outcome_of_failure("connection_reset", "", effect_unknown=True), 10)
    hosts.leave(REPORTS, None, None)
    assert hosts._reports() == {}


def test_what_others_have_trouble_with_is_watched_and_not_held_back(hosts: Hosts, clock: FakeClock) -> None:
    closed = HostReport(limit=1, in_flight=0, closed_until=clock().timestamp() + 60, since=clock().timestamp())
    hear(hosts, clock, {"worker-2:bb": closed})

    call(hosts, WELL, 3)

    assert hosts._reports()[HOST].closed_until is None
    hear(hosts, clock, {"worker-1:aa": hosts._reports()[HOST]})
    assert hosts._reports() == {}


def test_what_others_only_heard_of_opens_nothing_and_is_not_passed_on(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, outcome_of_status(429, timedelta(seconds=120)))
    later = clock().timestamp() + 0.1
    heard = HostReport(limit=1, in_flight=0, closed_until=None, since=later, hearsay=True)

    hear(hosts, clock, {"worker-2:bb": heard})
    hosts._hear({"https://other.example.com:443": {"worker-2:bb": heard}}, later)

    assert hosts.enter(REPORTS) == timedelta(seconds=120)
    assert hosts.enter(ELSEWHERE) is None


def test_an_end_of_trouble_that_others_found_first_opens_the_host_here(
    hosts: Hosts, clock: FakeClock, told: list[Event]
) -> None:
    call(hosts, BUSY, 3)
    later = clock().timestamp() + 0.1
    hear(hosts, clock, {"worker-2:bb": HostReport(limit=1, in_flight=0, closed_until=None, since=later)})
    assert isinstance(hosts.enter(REPORTS), Passage)
    assert told[-1] == HostOpened(host=HOST)


def test_what_a_call_of_an_old_trouble_met_does_not_count_in_the_next_one(hosts: Hosts, clock: FakeClock) -> None:
    call(hosts, BUSY)
    old = hosts.enter(REPORTS)
    assert isinstance(old, Passage)
    old.limit.learn(Sign.REACHED, clock().timestamp(), jitter=0)
    call(hosts, WELL, 20)
    hear(hosts, clock, {})
    call(hosts, BUSY)

    hosts.leave(REPORTS, old, BUSY)

    assert hosts._reports()[HOST].limit == 2


class FakeStore:
    """Hears nothing, and notes what it is told."""

    def __init__(self) -> None:
        self.read_once, self.told = asyncio.Event(), asyncio.Event()

    async def read(self, now: datetime, *, prune: bool) -> HostReports:
        self.read_once.set()
        return {}

    async def tell(self, incarnation: str, hosts: Mapping[str, HostReport], now: datetime) -> None:
        self.told.set()


async def test_trouble_is_told_at_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskqueue.worker.hosts._LISTEN_EVERY_S", 3600)
    store = FakeStore()
    monkeypatch.setattr(hosts, "_store", store)
    sharing = asyncio.create_task(hosts.share_for_ever())
    async with asyncio.timeout(10):
        await store.read_once.wait()
        assert not store.told.is_set()

        call(hosts, BUSY)

        await store.told.wait()
    sharing.cancel()
