from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskqueue.assets import asset_dir
from taskqueue.dev.services import Redis
from taskqueue.errors import StoreError
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

BUCKET = "taskqueue:ratelimit:task:api_heavy"
NEVER = -1


@pytest.fixture
def client(redis_server: Redis, redis_db: int) -> Iterator[redis.Redis]:
    """A plain client, for what is not about our own."""
    host, _, port = redis_server.address.rpartition(":")
    with redis.Redis(host=host, port=int(port), password=redis_server.password or None, db=redis_db) as client:
        yield client


async def call(scripts: Scripts, *arguments: object, key: str = BUCKET) -> Any:
    return await scripts.call("rate_limit", [key], [str(argument) for argument in arguments])


async def test_the_specs_call_takes_tokens_until_there_are_none(scripts: Scripts) -> None:
    assert [await call(scripts, 3, 1, 1, 1000) for _ in range(4)] == [1, 1, 1, 0]


async def test_the_specs_call_refills_at_the_rate_and_no_further_than_the_maximum(scripts: Scripts) -> None:
    assert await call(scripts, 3, 0.5, 3, 1000) == 1
    assert await call(scripts, 3, 0.5, 1, 1001.9) == 0
    assert await call(scripts, 3, 0.5, 1, 1002) == 1
    assert await call(scripts, 3, 0.5, 3, 9999) == 1
    assert await call(scripts, 3, 0.5, 1, 9999) == 0


async def test_the_bucket_is_the_hash_that_the_spec_names(scripts: Scripts, store: RedisStore) -> None:
    await call(scripts, 5, 1, 2, 1700000000.25)
    assert await store.command("HMGET", BUCKET, "tokens", "last_refill") == [b"3", b"1700000000.25"]


async def test_a_bucket_that_the_specs_own_script_wrote_is_read(scripts: Scripts, store: RedisStore) -> None:
    await store.command("HSET", BUCKET, "tokens", "1.5", "last_refill", "1000")
    assert [await call(scripts, 5, 1, 1, 1000) for _ in range(2)] == [1, 0]


async def test_a_refused_request_takes_nothing(scripts: Scripts, store: RedisStore) -> None:
    await call(scripts, 5, 1, 3, 1000)
    assert await call(scripts, 5, 1, 4, 1000) == 0
    assert await call(scripts, 5, 1, 2, 1000) == 1


async def test_time_that_runs_backwards_gives_no_tokens_twice(scripts: Scripts) -> None:
    assert await call(scripts, 2, 1, 2, 1000) == 1
    assert await call(scripts, 2, 1, 1, 900) == 0
    assert await call(scripts, 2, 1, 1, 1000) == 0
    assert await call(scripts, 2, 1, 1, 1001) == 1
    assert await call(scripts, 2, 1, 1, 1000.5) == 0


@pytest.mark.parametrize("ahead", ["3600", "inf"])
async def test_a_bucket_from_before_the_servers_clock_was_set_back_gains_nothing_and_fills_from_there(
    scripts: Scripts, store: RedisStore, ahead: str
) -> None:
    now = await _server_seconds(store)
    await store.command("HSET", BUCKET, "tokens", "0.5", "last_refill", repr(now + float(ahead)))
    assert await call(scripts, 10, 0.001, 1, "", "wait") == [0, 500_000]
    async with asyncio.timeout(10):
        while not await call(scripts, 10, 1000, 1, ""):
            pass


async def test_a_bucket_that_a_caller_whose_clock_is_a_little_ahead_filled_stays_as_it_is(
    scripts: Scripts, store: RedisStore
) -> None:
    ahead = await _server_seconds(store) + 4
    assert await call(scripts, 1, 100, 1, ahead) == 1
    assert await call(scripts, 1, 100, 1, "", "wait") == [0, 10]
    assert float(await store.command("HGET", BUCKET, "last_refill")) == ahead


async def test_the_fifth_argument_asks_for_the_wait(scripts: Scripts) -> None:
    assert await call(scripts, 2, 4, 2, 1000, "wait") == [1, 0]
    assert await call(scripts, 2, 4, 1, 1000, "wait") == [0, 250]
    assert await call(scripts, 2, 4, 1, 1000.249, "wait") == [0, 1]
    assert await call(scripts, 2, 4, 1, 1000.25, "wait") == [1, 0]


@pytest.mark.parametrize(("maximum", "rate", "requested"), [(2, 4, 3), (0, 4, 1), (0.5, 1, 1)])
async def test_more_than_the_bucket_holds_is_never_there(
    scripts: Scripts, maximum: float, rate: float, requested: float
) -> None:
    assert await call(scripts, maximum, rate, requested, 1000, "wait") == [0, NEVER]


async def test_a_bucket_without_refill_is_never_full_again(scripts: Scripts, store: RedisStore) -> None:
    assert await call(scripts, 2, 0, 2, 1000) == 1
    assert await call(scripts, 2, 0, 1, 10**12, "wait") == [0, NEVER]
    assert await store.command("TTL", BUCKET) == -1


async def test_the_longest_wait_is_still_a_number(scripts: Scripts) -> None:
    assert await call(scripts, 1, 1e-300, 1, 1000) == 1
    taken, wait = await call(scripts, 1, 1e-300, 1, 1000, "wait")
    assert taken == 0
    assert wait == 2**53


async def test_an_empty_now_is_the_time_of_the_server(scripts: Scripts, store: RedisStore) -> None:
    seconds, microseconds = map(int, await store.command("TIME"))
    assert await call(scripts, 1, 0.001, 1, "") == 1
    assert await call(scripts, 1, 0.001, 1, "") == 0
    written = float(await store.command("HGET", BUCKET, "last_refill"))
    assert 0 <= written - (seconds + microseconds / 1e6) < 10


async def test_without_the_fourth_argument_the_time_is_the_servers_as_well(scripts: Scripts) -> None:
    assert [await call(scripts, 1, 0.001, 1) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize("wrong", ["-1", "nan", "inf", "-inf", "1e309", "", "many", "1,5"])
@pytest.mark.parametrize(("position", "name"), [(0, "max_tokens"), (1, "refill_rate"), (2, "requested"), (3, "now")])
async def test_an_argument_that_is_no_amount_is_refused_by_name(
    scripts: Scripts, store: RedisStore, position: int, name: str, wrong: str
) -> None:
    arguments = ["10", "1", "1", "1000"]
    arguments[position] = wrong
    if (name, wrong) == ("now", ""):
        return
    with pytest.raises(StoreError, match=f"{name} must be a number of at least 0"):
        await call(scripts, *arguments)
    assert await store.command("EXISTS", BUCKET) == 0


async def test_a_missing_argument_is_refused_by_name(scripts: Scripts) -> None:
    with pytest.raises(StoreError, match="refill_rate must be"):
        await call(scripts, 10)


@pytest.mark.parametrize("amount", [1e300, 1.7e308])
async def test_huge_amounts_do_not_overflow(scripts: Scripts, amount: float) -> None:
    assert await call(scripts, amount, amount, amount, 1000) == 1
    assert await call(scripts, amount, amount, 1, 1000) == 0
    assert await call(scripts, amount, amount, amount, 1e300) == 1


@pytest.mark.parametrize(
    ("maximum", "rate", "taken"), [(10, 1, 1), (10, 0.0001, 10), (100_000, 0.5, 100_000), (1, 1e-300, 1)]
)
async def test_a_bucket_expires_only_once_it_would_be_full(
    scripts: Scripts, store: RedisStore, maximum: float, rate: float, taken: float
) -> None:
    await call(scripts, maximum, rate, taken, 1000)
    seconds_to_full = taken / rate
    ttl = await store.command("TTL", BUCKET)
    # Some 63 years are the most that is written: no process lives that long.
    assert ttl >= min(seconds_to_full, 2_000_000_000 - 1)
    assert ttl >= 3599


@dataclass(slots=True)
class ExactBucket:
    """The token bucket as it is defined, in fractions: no rounding, and time that never runs backwards."""

    maximum: Fraction
    rate: Fraction
    tokens: Fraction | None = None
    at: Fraction = Fraction(0)

    def spare(self, requested: Fraction, now: Fraction) -> Fraction:
        """Return how many tokens would be left; below zero, how many are missing."""
        if self.tokens is None:
            return self.maximum - requested
        elapsed = max(now, self.at) - self.at
        return min(self.maximum, self.tokens + elapsed * self.rate) - requested

    def take(self, requested: Fraction, now: Fraction) -> None:
        self.tokens = max(Fraction(0), self.spare(requested, now))
        self.at = max(now, self.at)


#: a billionth of a token for each request of a run
_FORGIVEN = Fraction(12, 10**9)

amounts = st.integers(0, 4000).map(lambda thousandths: thousandths / 1000)
steps = st.lists(st.tuples(amounts, st.integers(-500, 3000)), max_size=12)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(maximum=amounts, rate=amounts, steps=steps)
def test_every_answer_is_that_of_an_exact_bucket(
    client: redis.Redis, maximum: float, rate: float, steps: list[tuple[float, int]]
) -> None:
    rate_limit = client.register_script((asset_dir("lua") / "rate_limit.lua").read_text(encoding="utf-8"))
    client.delete(BUCKET)
    exact = ExactBucket(Fraction(maximum), Fraction(rate))
    now_ms = 1_700_000_000_000
    for requested, step_ms in steps:
        now_ms += step_ms
        now = now_ms / 1000
        taken = rate_limit(keys=[BUCKET], args=[repr(maximum), repr(rate), repr(requested), repr(now)])
        spare = exact.spare(Fraction(requested), Fraction(now))
        # The script forgives a billionth of a token, which the rounding of its floats may have cost.
        assert spare >= 0 or not taken or spare > -_FORGIVEN
        assert spare < 0 or taken
        if taken:
            exact.take(Fraction(requested), Fraction(now))


@pytest.mark.parametrize("callers", [200])
async def test_many_callers_at_once_never_get_more_than_burst_and_rate_allow(
    scripts: Scripts, store: RedisStore, callers: int
) -> None:
    burst, rate = 20, 100
    before = await _server_seconds(store)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(_ask(scripts, burst, rate, times=5) for _ in range(callers)))
    taken = sum(answers)
    elapsed = await _server_seconds(store) - before
    assert burst <= taken <= burst + rate * elapsed + 1e-3


async def _ask(scripts: Scripts, burst: float, rate: float, *, times: int) -> int:
    return sum([await call(scripts, burst, rate, 1, "") for _ in range(times)])


async def _server_seconds(store: RedisStore) -> float:
    seconds, microseconds = await store.command("TIME")
    return int(seconds) + int(microseconds) / 1e6


def test_the_file_runs_by_itself_with_redis_cli(redis_server: Redis, redis_db: int) -> None:
    program = shutil.which("redis-cli")
    if program is None:
        pytest.skip("redis-cli is not installed")
    host, _, port = redis_server.address.rpartition(":")
    command = [program, "-h", host, "-p", port, "-n", str(redis_db), "--no-auth-warning"]
    password = {"REDISCLI_AUTH": redis_server.password} if redis_server.password else {}
    command += ["--eval", str(asset_dir("lua") / "rate_limit.lua"), BUCKET, ",", "1", "1", "1", "1000"]
    answers = [
        subprocess.run(  # redis-cli as installed, with our own arguments
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=password,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert answers == ["1", "0"]
