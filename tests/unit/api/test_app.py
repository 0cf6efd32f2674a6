"""What the application answers where no endpoint and no service is involved."""

from __future__ import annotations

import re
from typing import Annotated

import httpx
import pytest
from fastapi import Query
from pydantic import BaseModel

from taskqueue.api.auth import Reader, Writer
from taskqueue.api.problems import conflict
from taskqueue.api.route import ApiRoute, api_router
from taskqueue.errors import BrokerUnavailableError, DamagedKeyError, InvalidValueError, StoreError
from taskqueue.telemetry.api_events import RequestAnswered, RequestFailed, RequestRefusedByStore
from tests.support.api_app import ApiBench, api_bench

router = api_router("tasks")


class Thing(BaseModel):
    name: str


@router.post("/things", status_code=201)
async def make_thing(thing: Thing, caller: Writer) -> Thing:
    return thing


@router.get("/things")
async def list_things(caller: Reader, limit: Annotated[int, Query(ge=1)] = 20) -> Thing:
    return Thing(name=str(limit))


@router.post("/things/bulk")
async def make_things(caller: Writer) -> None: ...


@router.get("/things/{thing_id}")
async def get_thing(thing_id: str, caller: Reader) -> Thing:
    errors: dict[str, Exception] = {
        "bug": KeyError("canary-secret"),
        "conflict": conflict("it is in use", code="in_use", used_by=["a"]),
        "value": InvalidValueError("zone 'Mars': unknown"),
        "store": StoreError("Redis: OOM at 10.0.0.1:6379"),
        "damaged": DamagedKeyError("taskqueue:api:task:canary", "holds a list"),
        "broker": BrokerUnavailableError("RabbitMQ at 10.0.0.1:5672: gone"),
    }
    if thing_id in errors:
        raise errors[thing_id]
    return Thing(name=thing_id)


@pytest.fixture(autouse=True)
def _no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    # These tests have no Redis, in which requests are counted.
    async def count(*_: object) -> None: ...

    monkeypatch.setattr("taskqueue.api.route.count_request", count)


@pytest.fixture
def bench() -> ApiBench:
    return api_bench()


async def ask(
    bench: ApiBench, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: object
) -> httpx.Response:
    async with bench.client(router) as client:
        return await client.request(method, path, headers=headers, **kwargs)  # type: ignore[arg-type]


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    body = answer.json()
    return (
        answer.status_code == body["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
        and body["code"] == code
        and body["type"] == "about:blank"
        and body["request_id"] == answer.headers["x-request-id"]
        and {"title", "detail"} <= body.keys()
    )


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/api/v1/nothing", "/api/v1/things/", "//api/v1/things", "/%00", "/api/v2/things"]
)
async def test_a_path_that_nothing_is_at_is_a_problem_without_a_redirect(bench: ApiBench, path: str) -> None:
    assert is_problem(await ask(bench, "GET", path), 404, "no_such_path")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "FROB"])
async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_takes(bench: ApiBench, method: str) -> None:
    answer = await ask(bench, method, "/api/v1/things")

    assert is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_options_says_which_methods_a_path_takes(bench: ApiBench) -> None:
    answer = await ask(bench, "OPTIONS", "/api/v1/things/a")

    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, OPTIONS", b"")


async def test_a_path_with_a_name_of_its_own_takes_only_its_own_methods(bench: ApiBench) -> None:
    answer = await ask(bench, "PUT", "/api/v1/things/bulk")

    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_options_of_nothing_is_not_found(bench: ApiBench) -> None:
    assert is_problem(await ask(bench, "OPTIONS", "/nothing"), 404, "no_such_path")


async def test_head_is_get_without_the_body(bench: ApiBench) -> None:
    got, head = await ask(bench, "GET", "/api/v1/things"), await ask(bench, "HEAD", "/api/v1/things")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


async def test_a_request_without_a_token_is_refused_before_its_body_is_looked_at(bench: ApiBench) -> None:
    answer = await ask(bench, "POST", "/api/v1/things", {"Authorization": "Bearer nobody"}, content=b"{" * 100)

    assert is_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_wrong_fields_of_the_body_are_named(bench: ApiBench) -> None:
    answer = await ask(bench, "POST", "/api/v1/things", json={"name": 5})

    assert is_problem(answer, 422, "invalid")
    assert answer.json()["detail"] == "/name: must be text"
    assert answer.json()["errors"] == [{"pointer": "/name", "detail": "must be text"}]


@pytest.mark.parametrize(("body", "text"), [(b"", "is missing; add it"), (b"null", "must be an object")])
async def test_a_body_that_is_missing_is_named(bench: ApiBench, body: bytes, text: str) -> None:
    answer = await ask(bench, "POST", "/api/v1/things", {"Content-Type": "application/json"}, content=body)

    assert is_problem(answer, 422, "invalid")
    assert answer.json()["errors"] == [{"pointer": "", "detail": text}]
    assert answer.json()["detail"] == f"the body: {text}"


async def test_a_wrong_parameter_is_named(bench: ApiBench) -> None:
    answer = await ask(bench, "GET", "/api/v1/things?limit=0")

    assert is_problem(answer, 422, "invalid")
    assert answer.json()["errors"] == [{"parameter": "limit", "detail": "must be at least 1"}]


async def test_a_problem_keeps_its_own_members(bench: ApiBench) -> None:
    answer = await ask(bench, "GET", "/api/v1/things/conflict")

    assert is_problem(answer, 409, "in_use")
    assert answer.json()["used_by"] == ["a"]


async def test_what_the_domain_refuses_is_unprocessable_in_its_words(bench: ApiBench) -> None:
    answer = await ask(bench, "GET", "/api/v1/things/value")

    assert is_problem(answer, 422, "invalid")
    assert answer.json()["detail"] == "zone 'Mars': unknown"


@pytest.mark.parametrize("kind", ["store", "broker"])
async def test_a_service_that_is_away_is_503_without_its_address(bench: ApiBench, kind: str) -> None:
    answer = await ask(bench, "GET", f"/api/v1/things/{kind}")

    assert is_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "10.0.0.1" not in answer.text
    (told,) = bench.told(RequestRefusedByStore)
    assert isinstance(told, RequestRefusedByStore)
    assert "10.0.0.1" in told.error


async def test_damaged_data_is_500_and_only_the_log_names_the_key(bench: ApiBench) -> None:
    answer = await ask(bench, "GET", "/api/v1/things/damaged")

    assert is_problem(answer, 500, "damaged_data")
    assert "canary" not in answer.text


async def test_a_bug_is_500_and_only_the_log_says_which(bench: ApiBench) -> None:
    answer = await ask(bench, "GET", "/api/v1/things/bug", {"X-Request-Id": "from-outside"})

    assert is_problem(answer, 500, "internal_error")
    assert answer.headers["x-request-id"] == "from-outside"
    assert "canary" not in answer.text
    (failed,) = bench.told(RequestFailed)
    assert isinstance(failed, RequestFailed)
    assert (failed.route, failed.request_id, failed.error) == ("/api/v1/things/{thing_id}", "from-outside", "KeyError")
    assert "canary-secret" in failed.exception


@pytest.mark.parametrize("path", ["/api/v1/things", "/api/v1/things/conflict", "/nothing", "/docs"])
async def test_every_answer_has_a_request_id_and_is_not_stored_by_anybody_between(bench: ApiBench, path: str) -> None:
    answer = await ask(bench, "GET", path)

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] in {"no-store", "no-cache"}


@pytest.mark.parametrize("given", ["a", "a" * 128, "Root=1-67891233-abcdef012345678912345678", "0af76519-16cd/1@x"])
async def test_a_sane_request_id_is_taken_over(bench: ApiBench, given: str) -> None:
    answer = await ask(bench, "GET", "/api/v1/things", {"X-Request-Id": given})

    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "a\tb", "a;b", '"a"', "<script>", "ä"])
async def test_any_other_request_id_is_replaced(bench: ApiBench, given: str) -> None:
    async with bench.client(router) as client:
        answer = await client.get("/api/v1/things", headers=[(b"X-Request-Id", given.encode("latin-1"))])

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/api/v1/things/a", "/api/v1/things/{thing_id}", 200),
        ("/api/v1/things?limit=0", "/api/v1/things", 422),
        ("/secret/path", "(none)", 404),
        ("/docs", "/docs", 200),
    ],
)
async def test_each_answer_is_told_with_the_template_of_its_path(
    bench: ApiBench, path: str, route: str, status: int
) -> None:
    await ask(bench, "GET", path, {"Authorization": "Bearer t1"})

    (answered,) = bench.told(RequestAnswered)
    assert isinstance(answered, RequestAnswered)
    assert (answered.method, answered.route, answered.status) == ("GET", route, status)
    assert answered.caller == ("t1" if route.startswith("/api") else None)


async def test_without_redis_a_request_with_a_key_does_nothing(bench: ApiBench) -> None:
    answer = await ask(bench, "POST", "/api/v1/things", {"Idempotency-Key": "k"}, json={"name": "a"})

    assert is_problem(answer, 503, "unavailable")


def test_an_endpoint_that_does_not_say_which_scope_it_needs_cannot_be_defined() -> None:
    async def open_to_all() -> None: ...

    with pytest.raises(TypeError, match="/open"):
        ApiRoute("/open", open_to_all)


async def test_the_reference_can_be_switched_off() -> None:
    bench = api_bench(api={"docs": False})

    assert [(await ask(bench, "GET", path)).status_code for path in ("/docs", "/openapi.json")] == [404, 404]


async def test_no_page_of_another_origin_may_call_unless_it_is_named() -> None:
    headers = {"Origin": "https://ui.example.com", "Access-Control-Request-Method": "POST"}

    silent = await ask(api_bench(), "OPTIONS", "/api/v1/things", headers)
    named = await ask(api_bench(api={"cors_origins": ["https://ui.example.com"]}), "OPTIONS", "/api/v1/things", headers)
    other = await ask(api_bench(api={"cors_origins": ["https://x.example.com"]}), "OPTIONS", "/api/v1/things", headers)

    allowed = [answer.headers.get("access-control-allow-origin") for answer in (silent, named, other)]
    assert allowed == [None, "https://ui.example.com", None]
