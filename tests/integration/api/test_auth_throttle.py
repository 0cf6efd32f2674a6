"""Who guesses at tokens is slowed down, and nobody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from taskqueue.api.auth import MOST_KNOWN
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import ALPHABET, SECRET_CHARS, ApiToken, token_text
from tests.support.auth_desk import UNKNOWN, AuthDesk, auth_desk, said

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


# --- too many failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guess", ["undefined", UNKNOWN])
async def test_too_many_wrong_tokens_get_429_until_time_has_passed(settings: RedisSettings, guess: str) -> None:
    async with auth_desk(settings, max_failures=3) as desk:
        first = [(await desk.get(guess)).status_code for _ in range(4)]
        answer = await desk.get(guess)
        wait_s = int(answer.headers["retry-after"])
        desk.clocks.pass_s(wait_s)
        later = await desk.get(guess)

    assert first == [401, 401, 401, 429]
    assert said(answer)[:2] == (429, "too_many_failures")
    assert wait_s == 20
    assert later.status_code == 401


async def test_whoever_was_let_in_before_gets_in_where_others_have_failed_too_often(settings: RedisSettings) -> None:
    async with auth_desk(settings, max_failures=3) as desk:
        known, new = await desk.create(), await desk.create()
        await desk.get(known.text)
        for _ in range(4):
            await desk.get(UNKNOWN)

        desk.clocks.pass_s(10)

        assert (await desk.get(known.text)).status_code == 200
        assert (await desk.get(new.text)).status_code == 429
        assert (await desk.get(new.text, client="192.0.2.2")).status_code == 200


async def test_a_secret_that_was_rotated_away_counts_as_a_guess_from_then_on(settings: RedisSettings) -> None:
    async with auth_desk(settings, max_failures=3) as desk:
        old = await desk.create()
        await desk.get(old.text)
        new = await desk.tokens.rotate(old.token.token_id, now=desk.clocks.now, overlap=timedelta())
        desk.clocks.pass_s(5)

        statuses = [(await desk.get(old.text)).status_code for _ in range(5)]

        assert statuses == [401, 401, 401, 401, 429]
        assert (await desk.get(new.text, client="192.0.2.2")).status_code == 200


@pytest.mark.parametrize("token", ["missing", "expired", "valid"])
async def test_what_is_no_guess_is_never_throttled(settings: RedisSettings, token: str) -> None:
    async with auth_desk(settings, max_failures=3) as desk:
        end = desk.clocks.now if token == "expired" else None
        text = None if token == "missing" else (await desk.create(expires_at=end)).text

        statuses = set()
        for _ in range(10):
            statuses.add((await desk.get(text)).status_code)
            desk.clocks.pass_s(0.1)

    assert statuses == {200 if token == "valid" else 401}


async def test_the_first_requests_of_a_caller_that_come_together_are_one_try(settings: RedisSettings) -> None:
    async with auth_desk(settings, max_failures=1) as desk:
        made = await desk.create()

        answers = await asyncio.gather(*(desk.get(made.text) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}


async def test_guesses_that_come_together_are_as_many_tries(settings: RedisSettings) -> None:
    async with auth_desk(settings, max_failures=3) as desk:
        token_id = (await desk.create()).token.token_id
        guesses = [token_text(token_id, letter * SECRET_CHARS) for letter in ALPHABET[:10]]

        answers = await asyncio.gather(*map(desk.get, guesses))

    assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 7


async def test_who_asked_first_may_go_before_redis_answers(desk: AuthDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    made, read = await desk.create(), desk.tokens.read
    entered, answered = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def read_late(token_id: str) -> ApiToken | None:
        asked.append(token_id)
        entered.set()
        await answered.wait()
        return await read(token_id)

    monkeypatch.setattr(desk.tokens, "read", read_late)
    first = asyncio.create_task(desk.get(made.text))
    await asyncio.wait_for(entered.wait(), 5)
    second = asyncio.create_task(desk.get(made.text))

    first.cancel()
    answered.set()

    assert (await second).status_code == 200
    assert asked == [made.token.token_id]


async def test_tokens_of_many_callers_do_not_pile_up(settings: RedisSettings) -> None:
    async with auth_desk(settings) as desk:
        known = desk.bench.services.authenticator._known
        made = await desk.create()
        await desk.get(made.text)
        entry = known[made.token.token_id]
        known.update((f"id{number:08}", entry) for number in range(MOST_KNOWN))

        await desk.get((await desk.create()).text)

        assert len(known) <= MOST_KNOWN + 1
