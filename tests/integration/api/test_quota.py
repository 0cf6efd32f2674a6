"""The quota of each token, counted in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from taskqueue.api.auth import Reader
from taskqueue.api.route import api_router
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from tests.support.api_app import ApiBench, api_bench

router = api_router("tasks")


@router.get("/things")
async def list_things(caller: Reader, limit: int = 20) -> dict[str, object]:
    return {"limit": limit}


@pytest.fixture
def bench(redis_server: Redis, redis_db: int) -> ApiBench:
    redis = RedisSettings(addresses=(redis_server.address,), password=SecretStr(redis_server.password), db=redis_db)
    return api_bench(redis, api={"rate_limit": 0.01, "rate_burst": 3})


@pytest.fixture
async def client(bench: ApiBench) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client(router) as client:
        yield client
    await bench.services.store.close()


def quota(answer: httpx.Response) -> tuple[int, int]:
    return int(answer.headers["ratelimit-limit"]), int(answer.headers["ratelimit-remaining"])


async def test_each_answer_tells_how_many_requests_are_left(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/api/v1/things") for _ in range(3)]

    assert [quota(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0)]
    assert [round(int(answer.headers["ratelimit-reset"]), -2) for answer in answers] == [100, 200, 300]


async def test_one_too_many_is_429_and_says_when_to_try_again(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/api/v1/things") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert (answers[3].json()["code"], quota(answers[3])) == ("rate_limited", (3, 0))
    assert 90 <= int(answers[3].headers["retry-after"]) <= 100


async def test_a_refused_request_counts_as_well_and_tells_what_is_left(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/things?limit=x")

    assert (answer.status_code, quota(answer)) == (422, (3, 2))


async def test_each_token_has_its_own(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.get("/api/v1/things", headers={"Authorization": "Bearer t1"})

    assert quota(await client.get("/api/v1/things", headers={"Authorization": "Bearer t2"})) == (3, 2)


async def test_who_has_no_token_is_told_nothing_of_quotas(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/things", headers={"Authorization": "Bearer nobody"})

    assert (answer.status_code, "ratelimit-limit" in answer.headers) == (401, False)


async def test_a_quota_that_is_whole_again_leaves_no_key_behind(client: httpx.AsyncClient, bench: ApiBench) -> None:
    await client.get("/api/v1/things")

    assert 0 < await bench.services.store.command("TTL", keys.api_quota("admin")) <= 3600
