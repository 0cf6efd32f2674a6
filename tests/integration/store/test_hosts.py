from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.host_limit import HostReport
from taskqueue.core.instants import to_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.hosts import HOSTS_KEPT, HostStore

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOST = "https://api.example.com:443"
CLOSED = HostReport(
    limit=1,
    in_flight=2,
    closed_until=NOW.timestamp() + 2.5,
    since=NOW.timestamp(),
    closings=3,
    probing=True,
    empty_looks=9,
)
OPEN = HostReport(limit=7, in_flight=0, closed_until=None, since=NOW.timestamp(), hearsay=True)


@pytest.fixture
def hosts(store: RedisStore) -> HostStore:
    return HostStore(store)


async def test_what_workers_tell_is_read_by_host_and_worker(hosts: HostStore) -> None:
    await hosts.tell("one:aa", {HOST: CLOSED}, NOW)
    await hosts.tell("two:bb", {HOST: OPEN, "http://b:80": OPEN}, NOW)

    assert await hosts.read(NOW) == {HOST: {"one:aa": CLOSED, "two:bb": OPEN}, "http://b:80": {"two:bb": OPEN}}


async def test_what_a_worker_of_an_earlier_version_says_counts(hosts: HostStore, store: RedisStore) -> None:
    told = {"limit": 7, "in_flight": 0, "closed_until": None, "since": OPEN.since, "closings": 0, "probing": False}
    said = json.dumps({"expires": to_unix_ms(NOW), "hosts": {HOST: told}})
    await store.command("HSET", keys.HOSTS, "old:aa", said)

    assert await hosts.read(NOW) == {HOST: {"old:aa": replace(OPEN, hearsay=False)}}


async def test_a_worker_replaces_what_it_said_and_takes_it_back(hosts: HostStore, store: RedisStore) -> None:
    await hosts.tell("one:aa", {HOST: CLOSED}, NOW)
    await hosts.tell("one:aa", {"http://b:80": OPEN}, NOW)
    assert await hosts.read(NOW) == {"http://b:80": {"one:aa": OPEN}}

    await hosts.tell("one:aa", {}, NOW)
    assert await store.command("EXISTS", keys.HOSTS) == 0


async def test_what_a_lost_worker_said_ends_although_others_go_on(hosts: HostStore, store: RedisStore) -> None:
    await hosts.tell("lost:aa", {HOST: CLOSED}, NOW)
    later = NOW + HOSTS_KEPT + timedelta(seconds=1)
    await hosts.tell("two:bb", {HOST: OPEN}, later)

    assert await hosts.read(later) == {HOST: {"two:bb": OPEN}}
    assert await store.command("HLEN", keys.HOSTS) == 2  # whoever only looks removes nothing
    assert await hosts.read(later, prune=True) == {HOST: {"two:bb": OPEN}}
    assert await store.command("HKEYS", keys.HOSTS) == [b"two:bb"]
    assert 0 < await store.command("PTTL", keys.HOSTS) <= HOSTS_KEPT / timedelta(milliseconds=1)


async def test_what_a_lost_worker_said_before_the_clock_was_set_back_ends_as_well(
    hosts: HostStore, store: RedisStore
) -> None:
    await hosts.tell("lost:aa", {HOST: CLOSED}, NOW + timedelta(hours=1))
    await hosts.tell("two:bb", {HOST: OPEN}, NOW + timedelta(seconds=1))

    assert await hosts.read(NOW, prune=True) == {HOST: {"two:bb": OPEN}}
    assert await store.command("HKEYS", keys.HOSTS) == [b"two:bb"]


@pytest.mark.parametrize("text", ["{", "[]", '{"expires": 1e99}', '{"expires": 9999999999999, "hosts": {"h": 1}}', "é"])
async def test_what_cannot_be_read_says_nothing(hosts: HostStore, store: RedisStore, text: str) -> None:
    await store.command("HSET", keys.HOSTS, "broken", text)
    await hosts.tell("one:aa", {HOST: OPEN}, NOW)

    assert await hosts.read(NOW) == {HOST: {"one:aa": OPEN}}
