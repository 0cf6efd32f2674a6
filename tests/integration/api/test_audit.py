"""Requests that may have changed something are on record: in Redis, in the log, and at GET /api/v1/audit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskqueue.api.auth import Writer
from taskqueue.api.route import api_router
from taskqueue.api.routes import audit
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import Scope
from taskqueue.store import keys
from taskqueue.store.audit import AuditLog
from taskqueue.store.tokens import NewSecret
from taskqueue.telemetry.api_events import ChangeRecorded, RequestAnswered
from tests.support.auth_desk import AuthDesk, auth_desk, doors

SECRET = "swordfish-in-a-body"


def broken_doors() -> Any:
    router = api_router("monitoring")

    @router.post("/broken")
    async def broken(caller: Writer) -> None:
        raise RuntimeError(caller.token_id)

    return router


@pytest.fixture
async def desk(settings: RedisSettings) -> AsyncIterator[AuthDesk]:
    async with auth_desk(settings, doors(), broken_doors(), audit.router) as desk:
        yield desk


async def post(desk: AuthDesk, made: NewSecret, path: str, **headers: str) -> int:
    given = {"Authorization": f"Bearer {made.text}", **headers}
    return (await desk.client().post(f"/api/v1{path}", headers=given, json={"password": SECRET})).status_code


async def recorded(desk: AuthDesk) -> list[tuple[str, str, dict[str, str], str, int]]:
    entries = await AuditLog(desk.bench.services.store).read(limit=100)
    return [
        (entry.change.method, entry.change.route, dict(entry.change.ids), entry.change.token_id, entry.change.status)
        for entry in reversed(entries)
    ]


async def test_a_change_is_on_record_with_who_what_and_how_it_ended(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)

    await post(desk, made, "/doors/7", **{"X-Request-Id": "my-request"})

    expected = ("POST", "/api/v1/doors/{door_id}", {"door_id": "7"}, made.token.token_id, 200)
    assert await recorded(desk) == [expected]
    (entry,) = await AuditLog(desk.bench.services.store).read(limit=1)
    assert entry.change.request_id == "my-request"


async def test_the_log_has_the_same_entry(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)

    await post(desk, made, "/doors/7", **{"X-Request-Id": "my-request"})

    assert desk.bench.told(ChangeRecorded) == [
        ChangeRecorded(
            method="POST",
            route="/api/v1/doors/{door_id}",
            ids={"door_id": "7"},
            caller=made.token.token_id,
            status=200,
            request_id="my-request",
            stored=True,
        )
    ]


async def test_what_was_refused_or_went_wrong_is_on_record_too(desk: AuthDesk) -> None:
    writer = await desk.create(Scope.WRITE)

    statuses = [
        await post(desk, writer, "/doors/7", **{"Content-Type": "text/plain"}),
        await post(desk, writer, "/broken"),
    ]

    assert statuses == [415, 500]
    assert [status for *_, status in await recorded(desk)] == statuses


async def test_who_may_change_nothing_is_in_the_log_alone_and_has_a_quota(settings: RedisSettings) -> None:
    async with auth_desk(settings, rate_limit=0.01, rate_burst=2) as desk:
        reader = await desk.create(Scope.READ)

        statuses = [await post(desk, reader, "/doors/7") for _ in range(4)]

        told = [event for event in desk.bench.events if isinstance(event, ChangeRecorded)]
        assert statuses == [event.status for event in told] == [403, 403, 429, 429]
        assert (await recorded(desk), {event.stored for event in told}) == ([], {False})


async def test_a_request_that_is_cut_is_in_the_log(settings: RedisSettings) -> None:
    entered = asyncio.Event()
    router = api_router("monitoring")

    @router.post("/endless/{door_id}")
    async def wait(caller: Writer, door_id: str) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with auth_desk(settings, router) as desk:
        request = asyncio.create_task(post(desk, await desk.create(Scope.WRITE), "/endless/7"))
        await asyncio.wait_for(entered.wait(), 5)
        request.cancel()
        await asyncio.wait({request})

        assert request.cancelled()
        (change,) = [event for event in desk.bench.events if isinstance(event, ChangeRecorded)]
        (answer,) = [event for event in desk.bench.events if isinstance(event, RequestAnswered)]
        assert (change.status, change.stored, change.ids) == (500, False, {"door_id": "7"})
        assert (answer.status, answer.route) == (500, "/api/v1/endless/{door_id}")


async def test_what_only_reads_is_not_on_record_nor_what_came_without_a_valid_token(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)

    await desk.get(made.text)
    await desk.client().post("/api/v1/doors/7")
    await desk.client().post("/api/v1/nowhere", headers={"Authorization": f"Bearer {made.text}"})

    assert await recorded(desk) == []


async def test_no_body_and_no_secret_is_on_record(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)
    await post(desk, made, "/doors/7")

    stored = repr(await desk.bench.services.store.ask(("XRANGE", keys.API_AUDIT, "-", "+")))

    assert "doors" in stored
    for secret in (SECRET, made.text.rpartition("_")[2][:32]):
        assert secret not in stored + repr(desk.bench.events)


async def test_an_endless_id_is_cut(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)

    await post(desk, made, "/doors/" + "7" * 5000)

    ((_, _, ids, _, _),) = await recorded(desk)
    assert len(ids["door_id"]) == 512


async def test_a_request_is_answered_although_its_entry_cannot_be_written(desk: AuthDesk) -> None:
    made = await desk.create(Scope.WRITE)
    await desk.bench.services.store.command("SET", keys.API_AUDIT, "no stream")

    assert await post(desk, made, "/doors/7") == 200

    (told,) = [event for event in desk.bench.events if isinstance(event, ChangeRecorded)]
    assert not told.stored


async def test_an_admin_reads_the_log_page_by_page(desk: AuthDesk) -> None:
    admin = await desk.create(Scope.ADMIN)
    for number in range(3):
        await post(desk, admin, f"/doors/{number}")

    first = (await desk.get(admin.text, "/audit?limit=2")).json()
    second = (await desk.get(admin.text, f"/audit?limit=2&before={first['next']}")).json()

    assert [entry["ids"]["door_id"] for entry in (*first["entries"], *second["entries"])] == ["2", "1", "0"]
    assert first["entries"][0].keys() == {"at", "method", "route", "ids", "token_id", "status", "request_id"}
    assert first["entries"][0]["at"].endswith("Z")
    assert second["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=x", "before=1-1%0A"])
async def test_a_page_that_cannot_be_is_refused(desk: AuthDesk, query: str) -> None:
    admin = await desk.create(Scope.ADMIN)

    assert (await desk.get(admin.text, f"/audit?{query}")).status_code == 422


async def test_the_log_is_for_admins(desk: AuthDesk) -> None:
    writer = await desk.create(Scope.WRITE)

    assert (await desk.get(writer.text, "/audit")).status_code == 403
