"""A leader that cannot reach Redis or RabbitMQ while the others can: another one leads, nothing is lost or repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import urlsplit

import pytest

from tests.support.kill_arena import LEASE_S, KillArena, NewArena
from tests.support.kill_points import spread
from tests.support.redis_monitor import RedisMonitor
from tests.support.system import Place
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults


@pytest.fixture
async def redis_proxy(place: Place) -> AsyncIterator[TcpProxy]:
    """What stands between the first leader and Redis."""
    host, _, port = place.redis_address.rpartition(":")
    async with TcpProxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
async def amqp_proxy(place: Place) -> AsyncIterator[TcpProxy]:
    """What stands between the first leader and RabbitMQ."""
    parts = urlsplit(place.amqp_url)
    assert parts.hostname is not None
    async with TcpProxy(parts.hostname, parts.port or 5672) as proxy:
        yield proxy


def refuse(proxy: TcpProxy) -> None:
    """Reset what is open, and whatever is opened from now on."""
    proxy.refusing = True
    proxy.cut()


#: how two sides are separated: packets vanish, connections are refused, or only the service is still heard
HOW: Mapping[str, Callable[[TcpProxy], None]] = {
    "without an answer": TcpProxy.freeze,
    "with a reset": refuse,
    "in one direction": TcpProxy.hold_answers,
}


@pytest.mark.parametrize("how", HOW)
async def test_a_leader_cut_off_from_redis_stops_in_time_and_what_it_sent_before_counts_for_nothing(
    how: str, place: Place, redis_proxy: TcpProxy, new_arena: NewArena
) -> None:
    first = {"redis": {"addresses": [f"127.0.0.1:{redis_proxy.port}"]}}
    async with new_arena(first=first) as arena, RedisMonitor(place) as monitor:
        await prepare(arena)
        leader, (follower,) = arena.leader, arena.followers
        token = await arena.lease_token()
        working = asyncio.create_task(spread(arena))
        await leader.wait_for("jobs_released")
        mark = len(leader.lines)
        HOW[how](redis_proxy)
        stepped_down = await leader.wait_for("leader_changed", leading=False, after=mark, within=LEASE_S + 1)
        followed = await follower.wait_for("leader_changed", leading=True, within=LEASE_S + 5)
        await working
        written = len(monitor.writes(token))
        released = len(leader.events("jobs_released"))
        await spread(arena)
        await arena.settled()
        heal(redis_proxy)
        await leader.wait_ready()

        # It says so once everything of its own has ended, which may be a moment after the lease did.
        acts = [line for line in leader.lines if line["event"] in {"jobs_released", "occurrence_planned"}]
        assert all(line["ts"] <= followed["ts"] for line in acts)
        assert not stepped_down["leading"]
        assert len(monitor.writes(token)) == written
        assert len(leader.events("jobs_released")) == released
        assert (await arena.finish()).clean


@pytest.mark.parametrize("how", HOW)
async def test_a_leader_cut_off_from_rabbitmq_lets_another_lead(
    how: str, place: Place, amqp_proxy: TcpProxy, new_arena: NewArena
) -> None:
    first = {"queue": {"url": through(amqp_proxy, place.amqp_url)}}
    async with new_arena(first=first) as arena:
        await prepare(arena)
        leader, (follower,) = arena.leader, arena.followers
        working = asyncio.create_task(spread(arena))
        await leader.wait_for("jobs_released")
        HOW[how](amqp_proxy)
        began = asyncio.get_running_loop().time()
        await follower.wait_for("leader_changed", leading=True, within=40)
        took_s = asyncio.get_running_loop().time() - began
        await working
        await spread(arena)
        await arena.settled()
        heal(amqp_proxy)
        await leader.wait_ready()

        assert (await arena.finish()).clean
    assert took_s <= 25


@pytest.mark.parametrize("how", ["without an answer", "with a reset"])
async def test_a_leader_cut_off_from_everything_is_followed_when_its_lease_is_over(
    how: str, place: Place, redis_proxy: TcpProxy, amqp_proxy: TcpProxy, new_arena: NewArena
) -> None:
    first = {
        "redis": {"addresses": [f"127.0.0.1:{redis_proxy.port}"]},
        "queue": {"url": through(amqp_proxy, place.amqp_url)},
    }
    async with new_arena(first=first) as arena:
        await prepare(arena)
        leader, (follower,) = arena.leader, arena.followers
        working = asyncio.create_task(spread(arena))
        await leader.wait_for("jobs_released")
        for proxy in (redis_proxy, amqp_proxy):
            HOW[how](proxy)
        await follower.wait_for("leader_changed", leading=True, within=LEASE_S + 5)
        await working
        await spread(arena)
        await arena.settled()
        for proxy in (redis_proxy, amqp_proxy):
            heal(proxy)
        await leader.wait_ready()

        assert (await arena.finish()).clean


@pytest.mark.parametrize("delay_s", [0.4, 1.2], ids=["a third of its lease", "longer than its lease"])
async def test_a_leader_that_redis_answers_slowly_leads_or_is_followed_and_nothing_is_missing(
    delay_s: float, redis_proxy: TcpProxy, new_arena: NewArena
) -> None:
    first = {"redis": {"addresses": [f"127.0.0.1:{redis_proxy.port}"]}}
    async with new_arena(first=first) as arena:
        await prepare(arena)
        slow, (follower,) = arena.leader, arena.followers
        working = asyncio.create_task(spread(arena))
        await slow.wait_for("jobs_released")
        redis_proxy.delay_s = delay_s
        await working
        if delay_s * 2 > LEASE_S:
            await follower.wait_for("leader_changed", leading=True, within=LEASE_S + 5)
        await spread(arena)
        await arena.settled(within=60)
        redis_proxy.delay_s = 0
        await slow.wait_ready()

        assert (await arena.finish()).clean


async def prepare(arena: KillArena) -> None:
    arena.set_task("spread", distribution_window="2s")
    await arena.all_known()


def heal(proxy: TcpProxy) -> None:
    """Let them talk again; what was under way arrives now."""
    proxy.refusing = False
    proxy.thaw()


def through(proxy: TcpProxy, url: str) -> str:
    """Return `url` by way of the proxy."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
