"""A POST that is sent again with its Idempotency-Key, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import BaseModel, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from taskqueue.api.auth import Writer
from taskqueue.api.problems import conflict
from taskqueue.api.route import api_router
from taskqueue.api.task_access import NewIds
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.errors import StoreUnavailableError
from taskqueue.store import keys
from tests.support.api_app import ApiBench, api_bench


class Thing(BaseModel):
    name: str


@dataclass
class Shop:
    """Endpoints that count how often they were really asked; `open` lets those go on that wait, `errors` come first."""

    made: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.router = api_router("tasks")
        self.router.post("/things", status_code=201)(self.make_thing)
        self.router.patch("/things")(self.patch_thing)
        self.router.post("/slow", status_code=202)(self.make_slowly)
        self.router.post("/taken", status_code=201)(self.refuse)
        self.router.post("/broken", status_code=201)(self.fail)
        self.router.post("/unsure", status_code=201)(self.make_unsurely)
        self.router.post("/nothing", status_code=204)(self.say_nothing)

    async def make_thing(self, thing: Thing, response: Response, caller: Writer) -> dict[str, object]:
        self.made.append(thing.name)
        response.headers["Location"] = f"/api/v1/things/{len(self.made)}"
        response.headers["X-Other"] = "1"
        return {"id": len(self.made), "name": thing.name}

    async def patch_thing(self, thing: Thing, caller: Writer) -> dict[str, object]:
        self.made.append(thing.name)
        return {"id": len(self.made)}

    async def make_slowly(self, caller: Writer) -> dict[str, object]:
        self.made.append("slow")
        self.entered.set()
        await self.open.wait()
        return {"id": len(self.made)}

    async def refuse(self, thing: Thing, caller: Writer) -> dict[str, object]:
        self.made.append(thing.name)
        raise conflict("taken")

    async def fail(self, caller: Writer) -> dict[str, object]:
        self.made.append("broken")
        raise RuntimeError

    async def make_unsurely(self, thing: Thing, request: Request, caller: Writer) -> dict[str, object]:
        self.made.append(NewIds(request).make())
        if self.errors:
            raise self.errors.pop(0)
        return {"id": self.made[-1]}

    async def say_nothing(self, caller: Writer) -> None:
        self.made.append("nothing")


@pytest.fixture
def bench(redis_server: Redis, redis_db: int) -> ApiBench:
    redis = RedisSettings(addresses=(redis_server.address,), password=SecretStr(redis_server.password), db=redis_db)
    return api_bench(redis, api={"request_deadline": "1s"})


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def client(bench: ApiBench, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client(shop.router) as client:
        yield client
    await bench.services.store.close()


def key(text: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": text, **more}


async def test_the_same_request_gets_the_answer_of_the_first_time(client: httpx.AsyncClient, shop: Shop) -> None:
    first, again = [await client.post("/api/v1/things", json={"name": "a"}, headers=key("k")) for _ in range(2)]

    assert (first.status_code, again.status_code, shop.made) == (201, 201, ["a"])
    assert first.content == again.content
    assert again.headers["location"] == first.headers["location"] == "/api/v1/things/1"
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert "x-other" not in again.headers
    assert first.headers["x-request-id"] != again.headers["x-request-id"]


async def test_an_answer_without_a_body_is_given_again(client: httpx.AsyncClient, shop: Shop) -> None:
    first, again = [await client.post("/api/v1/nothing", headers=key("k")) for _ in range(2)]

    assert (first.status_code, again.status_code, again.content, shop.made) == (204, 204, b"", ["nothing"])


async def test_without_a_key_every_request_counts(client: httpx.AsyncClient, shop: Shop) -> None:
    for _ in range(2):
        await client.post("/api/v1/things", json={"name": "a"})

    assert shop.made == ["a", "a"]


async def test_on_other_methods_than_post_the_key_means_nothing(client: httpx.AsyncClient, shop: Shop) -> None:
    for _ in range(2):
        await client.patch("/api/v1/things", json={"name": "a"}, headers=key("k"))

    assert shop.made == ["a", "a"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/v1/things", b'{"name": "b"}'),
        ("/api/v1/things?x=1", b'{"name": "a"}'),
        ("/api/v1/slow", b'{"name": "a"}'),
    ],
)
async def test_a_key_stands_for_one_request_only(
    client: httpx.AsyncClient, shop: Shop, path: str, content: bytes
) -> None:
    json_type = {"Content-Type": "application/json"}
    await client.post("/api/v1/things", content=b'{"name": "a"}', headers=key("k", **json_type))

    answer = await client.post(path, content=content, headers=key("k", **json_type))

    assert (answer.status_code, answer.json()["code"], shop.made) == (422, "idempotency_key_reused", ["a"])
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_another_token_has_its_own_keys(client: httpx.AsyncClient, shop: Shop) -> None:
    for token in ("t1", "t2"):
        headers = key("k", Authorization=f"Bearer {token}")
        assert (
            "idempotent-replayed"
            not in (await client.post("/api/v1/things", json={"name": "a"}, headers=headers)).headers
        )

    assert shop.made == ["a", "a"]


async def test_the_same_key_at_the_same_moment_is_a_conflict(client: httpx.AsyncClient, shop: Shop) -> None:
    first = asyncio.create_task(client.post("/api/v1/slow", headers=key("k")))
    await asyncio.wait_for(shop.entered.wait(), 5)

    second = await client.post("/api/v1/slow", headers=key("k"))
    shop.open.set()

    assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_use")
    assert ((await first).status_code, shop.made) == (202, ["slow"])


async def test_of_many_at_once_one_is_done(client: httpx.AsyncClient, shop: Shop) -> None:
    shop.open.set()

    answers = await asyncio.gather(*(client.post("/api/v1/slow", headers=key("k")) for _ in range(20)))

    assert shop.made == ["slow"]
    assert {answer.status_code for answer in answers} <= {202, 409}


async def test_a_request_that_was_refused_may_come_again_corrected(client: httpx.AsyncClient, shop: Shop) -> None:
    refused = await client.post("/api/v1/things", json={"nome": "a"}, headers=key("k"))
    corrected = await client.post("/api/v1/things", json={"name": "a"}, headers=key("k"))

    assert (refused.status_code, corrected.status_code, shop.made) == (422, 201, ["a"])


@pytest.mark.parametrize(("path", "status"), [("/api/v1/taken", 409), ("/api/v1/broken", 500)])
async def test_a_failure_is_not_kept(client: httpx.AsyncClient, shop: Shop, path: str, status: int) -> None:
    for _ in range(2):
        answer = await client.post(path, json={"name": "a"}, headers=key("k"))
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (status, False)

    assert len(shop.made) == 2


async def test_a_request_that_took_too_long_stays_in_work_for_less_than_it_is_to_wait(
    client: httpx.AsyncClient,
) -> None:
    late = await client.post("/api/v1/slow", headers=key("k"))
    again = await client.post("/api/v1/slow", headers=key("k"))

    assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_key_in_use")
    assert 1 <= int(again.headers["retry-after"]) <= 2 < int(late.headers["retry-after"])


async def test_a_request_in_work_says_when_to_send_it_again(client: httpx.AsyncClient, shop: Shop) -> None:
    first = asyncio.create_task(client.post("/api/v1/slow", headers=key("k")))
    await asyncio.wait_for(shop.entered.wait(), 5)

    second = await client.post("/api/v1/slow", headers=key("k"))
    shop.open.set()

    assert (second.headers["retry-after"], (await first).status_code) == ("5", 202)


async def test_what_may_have_been_done_is_done_again_with_the_same_ids(client: httpx.AsyncClient, shop: Shop) -> None:
    shop.errors = [StoreUnavailableError("gone"), StoreUnavailableError("gone")]

    answers = [await client.post("/api/v1/unsure", json={"name": "a"}, headers=key("k")) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [503, 503, 201, 201]
    assert (len(shop.made), len(set(shop.made))) == (3, 1)
    assert answers[3].headers["idempotent-replayed"] == "true"


async def test_what_may_have_been_done_does_not_come_again_with_another_body(
    client: httpx.AsyncClient, shop: Shop, bench: ApiBench
) -> None:
    shop.errors = [StoreUnavailableError("gone")]
    await client.post("/api/v1/unsure", json={"name": "a"}, headers=key("k"))

    answer = await client.post("/api/v1/unsure", json={"name": "b"}, headers=key("k"))

    assert (answer.status_code, answer.json()["code"], len(shop.made)) == (422, "idempotency_key_reused", 1)
    left_s = await bench.services.store.command("TTL", keys.api_idempotency("admin", "k"))
    assert 86_300 < left_s <= 86_400


async def test_a_refusal_after_what_may_have_been_done_frees_no_key(client: httpx.AsyncClient, shop: Shop) -> None:
    shop.errors = [StoreUnavailableError("gone"), conflict("paused since")]

    answers = [await client.post("/api/v1/unsure", json={"name": "a"}, headers=key("k")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 409, 201]
    assert len(set(shop.made)) == 1


async def test_a_key_that_was_refused_or_has_lapsed_is_a_new_one(
    client: httpx.AsyncClient, shop: Shop, bench: ApiBench
) -> None:
    shop.errors = [conflict("taken")]
    for _ in range(2):
        await client.post("/api/v1/unsure", json={"name": "a"}, headers=key("k"))
    await bench.services.store.command("DEL", keys.api_idempotency("admin", "k"))
    await client.post("/api/v1/unsure", json={"name": "b"}, headers=key("k"))

    assert len(set(shop.made)) == 3


async def test_an_answer_is_kept_for_a_day(client: httpx.AsyncClient, bench: ApiBench) -> None:
    await client.post("/api/v1/things", json={"name": "a"}, headers=key("k"))

    left_s = await bench.services.store.command("TTL", keys.api_idempotency("admin", "k"))
    assert 86_300 < left_s <= 86_400


@pytest.mark.parametrize("text", ["", " ", "a b", "a" * 256, "ä", "a\tb"])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, shop: Shop, text: str) -> None:
    headers = [(b"Idempotency-Key", text.encode("latin-1"))]

    answer = await client.post("/api/v1/slow", headers=headers)

    assert (answer.status_code, answer.json()["errors"][0]["parameter"], shop.made) == (422, "Idempotency-Key", [])


async def test_a_key_cannot_reach_into_another_key_of_redis(client: httpx.AsyncClient, bench: ApiBench) -> None:
    await client.post("/api/v1/things", json={"name": "a"}, headers=key("x:y*?[]:\\z%"))

    found = await bench.services.store.command("KEYS", "taskqueue:api:idempotency:*")
    assert [name.count(b":") for name in found] == [4]


async def test_a_stored_answer_that_is_damaged_is_500_and_runs_nothing(
    client: httpx.AsyncClient, shop: Shop, bench: ApiBench
) -> None:
    await client.post("/api/v1/things", json={"name": "a"}, headers=key("k"))
    await bench.services.store.command("HSET", keys.api_idempotency("admin", "k"), "answer", "{")

    answer = await client.post("/api/v1/things", json={"name": "a"}, headers=key("k"))

    assert (answer.status_code, answer.json()["code"], shop.made) == (500, "damaged_data", ["a"])
