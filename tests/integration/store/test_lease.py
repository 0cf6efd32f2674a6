from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.errors import LeaseLostError, StoreError, StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store import lease as lease_module
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from tests.support.own_redis import OwnRedis

TTL = timedelta(seconds=10)


@pytest.fixture
def contender(store: RedisStore, scripts: Scripts) -> Callable[[str], Lease]:
    return lambda name: Lease(store, scripts, name=name, ttl=TTL)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock of this process: change its one entry."""
    now = [1000.0]
    monkeypatch.setattr(lease_module.time, "monotonic", lambda: now[0])
    return now


async def test_of_many_contenders_one_becomes_the_leader(contender: Callable[[str], Lease]) -> None:
    leases = [contender(f"scheduler-{number}") for number in range(20)]
    taken = await asyncio.gather(*(lease.acquire() for lease in leases))
    assert sum(taken) == 1
    leader = leases[taken.index(True)]
    assert [lease for lease in leases if lease.trusted] == [leader]
    assert await leader.holder() == f"scheduler-{taken.index(True)}"


async def test_the_lease_holds_a_token_that_nobody_can_guess_and_ends_by_itself(
    contender: Callable[[str], Lease], store: RedisStore
) -> None:
    lease = contender("host-1:8080")
    await lease.acquire()
    assert (await store.command("GET", keys.LEASE)).decode() == lease.token
    assert lease.token.startswith("host-1:8080:")
    assert await lease.holder() == "host-1:8080"
    assert 0 < await store.command("PTTL", keys.LEASE) <= 10_000
    first = lease.token
    await lease.release()
    await lease.acquire()
    assert lease.token != first


async def test_a_renewal_lets_the_lease_live_on(contender: Callable[[str], Lease], store: RedisStore) -> None:
    lease = contender("a")
    await lease.acquire()
    await store.command("PEXPIRE", keys.LEASE, 1000)
    await lease.renew()
    assert await store.command("PTTL", keys.LEASE) > 5000


async def test_the_trust_ends_before_the_lease_can(contender: Callable[[str], Lease], clock: list[float]) -> None:
    lease = contender("a")
    await lease.acquire()
    clock[0] += TTL.total_seconds() * 0.89
    assert lease.trusted
    clock[0] += TTL.total_seconds() * 0.02
    assert not lease.trusted
    await lease.renew()
    assert lease.trusted


async def test_the_trust_counts_from_the_question_however_late_the_answer(
    contender: Callable[[str], Lease], store: RedisStore, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = store.ask

    async def slow(command: Sequence[Argument]) -> object:
        reply = await ask(command)
        clock[0] += 9.5
        return reply

    monkeypatch.setattr(store, "ask", slow)
    lease = contender("a")
    assert await lease.acquire()
    assert not lease.trusted


@pytest.mark.parametrize("theirs", ["b:other", None], ids=["another leader", "nobody"])
async def test_a_lost_lease_is_told_and_trusted_no_more(
    contender: Callable[[str], Lease], store: RedisStore, theirs: str | None
) -> None:
    lease = contender("a")
    await lease.acquire()
    await store.command(*(("DEL", keys.LEASE) if theirs is None else ("SET", keys.LEASE, theirs)))
    with pytest.raises(LeaseLostError):
        await lease.renew()
    assert not lease.trusted


async def test_a_renewal_without_an_answer_leaves_the_trust_as_it_was(
    contender: Callable[[str], Lease], store: RedisStore, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    lease = contender("a")
    await lease.acquire()

    async def lost(_: object) -> list[object]:
        raise StoreUnavailableError("connection lost")

    monkeypatch.setattr(store, "ask", lost)
    clock[0] += 8
    with pytest.raises(StoreUnavailableError):
        await lease.renew()
    assert lease.trusted
    clock[0] += 1.1
    assert not lease.trusted


async def test_a_released_lease_is_free_at_once(contender: Callable[[str], Lease]) -> None:
    first, second = contender("a"), contender("b")
    await first.acquire()
    await first.release()
    assert not first.trusted
    assert await first.holder() is None
    assert await second.acquire()


async def test_releasing_what_another_holds_leaves_it_to_them(
    contender: Callable[[str], Lease], store: RedisStore
) -> None:
    leader, follower = contender("a"), contender("b")
    await leader.acquire()
    await follower.acquire()
    await follower.release()
    assert (await store.command("GET", keys.LEASE)).decode() == leader.token


async def test_a_lease_that_was_never_held_can_be_released(contender: Callable[[str], Lease]) -> None:
    await contender("a").release()


async def test_three_renewals_may_fail_before_the_trust_ends(contender: Callable[[str], Lease]) -> None:
    assert contender("a").renew_every_s * 4 <= TTL.total_seconds() * 0.9


async def test_a_lease_that_was_taken_unheard_is_found_by_the_next_question(
    contender: Callable[[str], Lease], store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = contender("a")
    ask = store.ask

    async def answer_lost(command: Sequence[Argument]) -> object:
        await ask(command)
        raise StoreUnavailableError("the answer was lost")

    monkeypatch.setattr(store, "ask", answer_lost)
    with pytest.raises(StoreUnavailableError):
        await lease.acquire()
    monkeypatch.setattr(store, "ask", ask)

    assert await lease.acquire()
    assert lease.trusted


@pytest.mark.parametrize(
    "options",
    [
        ("--user", "default", "on", "nopass", "~*", "&*", "+@all", "-eval", "-evalsha"),
        ("--rename-command", "EVALSHA", ""),
        ("--rename-command", "EVAL", ""),
    ],
    ids=["no right", "no EVALSHA", "no EVAL"],
)
async def test_whoever_may_run_no_scripts_does_not_take_the_lease(
    own_redis: OwnRedis, options: tuple[str, ...]
) -> None:
    _, address = own_redis.start(*options)
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="test")
    lease = Lease(store, Scripts(store, asset_dir("lua")), name="a", ttl=TTL)

    for _ in range(2):
        with pytest.raises(StoreError, match=r"docs/redis\.md|renamed or switched off"):
            await lease.acquire()

    assert not lease.trusted
    assert await lease.is_free()
    await store.close()


async def test_a_lease_that_never_ends_was_not_written_by_a_leader_and_keeps_nobody_out_for_ever(
    contender: Callable[[str], Lease], store: RedisStore
) -> None:
    await store.command("SET", keys.LEASE, "by hand")

    assert not await contender("scheduler").acquire()

    assert 0 < await store.command("PTTL", keys.LEASE) <= TTL // timedelta(milliseconds=1)


async def test_a_lease_that_lasts_longer_than_any_of_ours_keeps_nobody_out_for_as_long(
    contender: Callable[[str], Lease], store: RedisStore
) -> None:
    leader, follower = contender("a"), contender("b")
    await leader.acquire()
    await store.command("PEXPIRE", keys.LEASE, 3_600_000)  # as if the clock of Redis had gone back by an hour

    assert not await follower.is_free()

    assert 0 < await store.command("PTTL", keys.LEASE) <= TTL // timedelta(milliseconds=1)


async def test_a_leader_whose_lease_is_longer_than_those_of_others_keeps_it(
    store: RedisStore, scripts: Scripts, contender: Callable[[str], Lease]
) -> None:
    leader, follower = Lease(store, scripts, name="a", ttl=6 * TTL), contender("b")
    await leader.acquire()
    ends = await store.command("PEXPIRETIME", keys.LEASE)

    assert not await follower.acquire()
    assert not await follower.is_free()

    assert await store.command("PEXPIRETIME", keys.LEASE) == ends


async def test_whoever_looks_at_a_lease_neither_shortens_nor_lengthens_it(
    contender: Callable[[str], Lease], store: RedisStore
) -> None:
    leader, follower = contender("a"), contender("b")
    await leader.acquire()
    ends = await store.command("PEXPIRETIME", keys.LEASE)

    assert not await follower.acquire()
    assert not await follower.is_free()
    assert await store.command("PEXPIRETIME", keys.LEASE) == ends

    await leader.release()
    assert await follower.is_free()
