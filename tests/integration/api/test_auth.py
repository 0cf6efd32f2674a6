"""Who is let in: tokens in a real Redis, asked for by the API as it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from taskqueue.api.auth import BOOTSTRAP
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import ALPHABET, SECRET_CHARS, Scope, token_text
from taskqueue.store import keys
from taskqueue.telemetry.api_events import NoTokens
from tests.support.auth_desk import BOOTSTRAP_TOKEN, UNKNOWN, AuthDesk, auth_desk, said, without_id
from tests.support.tcp_proxy import TcpProxy

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


# --- who comes in -----------------------------------------------------------------------------------------------------


async def test_a_token_that_holds_is_let_in_under_its_id(desk: AuthDesk) -> None:
    made = await desk.create()

    answer = await desk.get(made.text)

    assert (answer.status_code, answer.json()) == (200, {"caller": made.token.token_id})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(desk: AuthDesk, scheme: str) -> None:
    made = await desk.create()

    answer = await desk.client().get("/api/v1/doors/read", headers={"Authorization": f"{scheme} {made.text}"})

    assert answer.status_code == 200


async def test_without_a_token_the_answer_says_how_to_send_one(desk: AuthDesk) -> None:
    answer = await desk.get(None)

    assert said(answer) == (401, "unauthorized", 'Bearer realm="taskqueue"')
    assert "Authorization: Bearer" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer undefined",
        f"Bearer {UNKNOWN} {UNKNOWN}",
        f"Bearer {UNKNOWN[:-1]}x",
        "Bearer tq__",
        "Bearer " + "x" * 5000,
        "Bearer tq_äöü",
    ],
)
async def test_what_is_no_token_is_refused(desk: AuthDesk, authorization: str) -> None:
    answer = await desk.client().get(
        "/api/v1/doors/read", headers=[(b"Authorization", authorization.encode("latin-1"))]
    )

    assert said(answer) == (401, "invalid_token", 'Bearer realm="taskqueue", error="invalid_token"')
    assert desk.refusals() == ["malformed"]


async def test_two_tokens_at_once_are_refused(desk: AuthDesk) -> None:
    made = await desk.create()
    header = ("Authorization", f"Bearer {made.text}")

    answer = await desk.client().get("/api/v1/doors/read", headers=[header, header])

    assert answer.status_code == 401


async def test_an_unknown_id_and_a_wrong_secret_get_the_same_answer(desk: AuthDesk) -> None:
    made = await desk.create()

    unknown = await desk.get(UNKNOWN)
    wrong = await desk.get(token_text(made.token.token_id, "b" * SECRET_CHARS))

    assert unknown.status_code == wrong.status_code == 401
    assert without_id(unknown) == without_id(wrong)
    assert unknown.headers["www-authenticate"] == wrong.headers["www-authenticate"]
    assert desk.refusals() == ["unknown", "wrong_secret"]


async def test_a_token_is_let_in_until_the_instant_of_its_end(desk: AuthDesk) -> None:
    made = await desk.create(expires_at=desk.clocks.now + SECOND)
    assert (await desk.get(made.text)).status_code == 200

    desk.clocks.pass_s(1)

    assert said(await desk.get(made.text))[:2] == (401, "token_expired")


async def test_a_scope_that_is_not_enough_is_named(desk: AuthDesk) -> None:
    made = await desk.create(Scope.READ)

    answer = await desk.client().post("/api/v1/doors/7", headers={"Authorization": f"Bearer {made.text}"})

    challenge = 'Bearer realm="taskqueue", error="insufficient_scope", scope="write"'
    assert said(answer) == (403, "insufficient_scope", challenge)
    assert "scope write; this one has read" in answer.json()["detail"]


async def test_nothing_is_read_of_a_body_before_its_sender_is_known(desk: AuthDesk) -> None:
    answer = await desk.client().post("/api/v1/doors/7", content=b"{ no json", headers={"Content-Type": "text/plain"})

    assert answer.status_code == 401


# --- revocation and rotation ------------------------------------------------------------------------------------------


async def test_a_revoked_token_gets_in_no_more_after_five_seconds(desk: AuthDesk) -> None:
    made = await desk.create()
    assert (await desk.get(made.text)).status_code == 200

    await desk.tokens.revoke(made.token.token_id, desk.clocks.now)
    desk.clocks.pass_s(5)

    assert said(await desk.get(made.text))[:2] == (401, "token_revoked")


async def test_a_token_that_is_asked_for_all_the_time_is_looked_up_again_all_the_same(desk: AuthDesk) -> None:
    made = await desk.create()
    await desk.get(made.text)
    await desk.tokens.revoke(made.token.token_id, desk.clocks.now)

    statuses = []
    for _ in range(10):
        desk.clocks.pass_s(0.5)
        statuses.append((await desk.get(made.text)).status_code)

    assert statuses[-1] == 401


async def test_within_three_seconds_redis_is_not_asked_again(desk: AuthDesk) -> None:
    made = await desk.create()
    await desk.get(made.text)
    await desk.bench.services.store.command("DEL", keys.api_token(made.token.token_id))

    desk.clocks.pass_s(2.9)
    before = (await desk.get(made.text)).status_code
    desk.clocks.pass_s(0.1)
    after = (await desk.get(made.text)).status_code

    assert (before, after) == (200, 401)


async def test_a_new_secret_is_let_in_at_once_and_the_one_before_for_the_overlap(desk: AuthDesk) -> None:
    old = await desk.create()
    await desk.get(old.text)

    new = await desk.tokens.rotate(old.token.token_id, now=desk.clocks.now, overlap=HOUR)

    assert (await desk.get(new.text)).status_code == 200
    assert (await desk.get(old.text)).status_code == 200
    desk.clocks.pass_s(3600)
    assert (await desk.get(new.text)).status_code == 200
    assert said(await desk.get(old.text))[:2] == (401, "invalid_token")


async def test_without_overlap_the_secret_before_gets_in_no_more_after_five_seconds(desk: AuthDesk) -> None:
    old = await desk.create()
    await desk.get(old.text)

    await desk.tokens.rotate(old.token.token_id, now=desk.clocks.now, overlap=timedelta())
    desk.clocks.pass_s(5)

    assert (await desk.get(old.text)).status_code == 401


# --- the bootstrap token ----------------------------------------------------------------------------------------------


async def test_the_bootstrap_token_is_an_admin_and_leaves_nothing_in_redis(settings: RedisSettings) -> None:
    async with auth_desk(settings, bootstrap_token=BOOTSTRAP_TOKEN) as desk:
        answer = await desk.get(BOOTSTRAP_TOKEN, "/doors/admin")
        wrong = await desk.get(BOOTSTRAP_TOKEN[:-1] + "x", "/doors/admin")
        stored = await desk.bench.services.store.command("KEYS", "taskqueue:api:token*")

    assert answer.json() == {"caller": BOOTSTRAP}
    assert wrong.status_code == 401
    assert stored == []


async def test_without_a_bootstrap_token_none_is_accepted(desk: AuthDesk) -> None:
    digest = hashlib.sha256(b"").hexdigest()

    assert [(await desk.get(text)).status_code for text in ("bootstrap", digest, BOOTSTRAP_TOKEN)] == [401] * 3


async def test_where_no_token_exists_the_log_says_how_to_make_one_and_the_answer_does_not(desk: AuthDesk) -> None:
    refused = await desk.get(None)
    await desk.get(UNKNOWN)

    hints = desk.bench.told(NoTokens)
    assert len(hints) == 1
    assert "taskqueue token create" in repr(hints[0])
    assert "create" not in refused.text

    await desk.create()
    desk.clocks.pass_s(60)
    await desk.get(None)
    assert len(desk.bench.told(NoTokens)) == 1


# --- Redis away, and what is noted ------------------------------------------------------------------------------------


async def test_while_redis_is_away_nobody_new_is_let_in_and_nobody_has_failed(settings: RedisSettings) -> None:
    host, _, port = settings.addresses[0].rpartition(":")
    async with TcpProxy(host, int(port)) as proxy:
        through = settings.model_copy(update={"addresses": (f"127.0.0.1:{proxy.port}",)})
        async with auth_desk(through, max_failures=3) as desk:
            made = await desk.create()
            proxy.refusing = True
            await proxy.cut()

            answers = [await desk.get(made.text) for _ in range(5)]
            proxy.refusing = False
            back = await desk.get(made.text)

    assert {answer.status_code for answer in answers} == {503}
    assert all("retry-after" in answer.headers for answer in answers)
    assert back.status_code == 200


async def test_a_use_is_noted_once_a_minute(desk: AuthDesk) -> None:
    made = await desk.create()
    began = desk.clocks.now
    noted = []

    for _ in range(4):
        await desk.get(made.text)
        token = await desk.tokens.read(made.token.token_id)
        assert token is not None
        noted.append(token.last_used_at)
        desk.clocks.pass_s(20)

    assert noted == [began, began, began, began + 60 * SECOND]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text,
        lambda text: text[:-1] + next(each for each in ALPHABET if each != text[-1]),
        lambda text: token_text("a" * 10, text.rpartition("_")[2][:SECRET_CHARS]),
    ],
    ids=["valid", "mistyped", "of another id"],
)
async def test_no_secret_gets_into_an_event_or_an_answer(desk: AuthDesk, spoil: Callable[[str], str]) -> None:
    made = await desk.create(Scope.READ)
    text = spoil(made.text)
    secret = text.rpartition("_")[2][:SECRET_CHARS]

    answers = [await desk.get(text), await desk.get(text, "/doors/admin")]
    answers.append(await desk.client().post("/api/v1/doors/1", headers={"Authorization": f"Bearer {text}"}))

    told = repr(desk.bench.events) + "".join(f"{answer.text}{answer.headers}" for answer in answers)
    assert secret not in told
