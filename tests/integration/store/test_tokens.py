from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.token import Scope, TokenState, read_token
from taskqueue.errors import DamagedKeyError, NotFoundError, RefusedError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import NewSecret, TokenStore

NOW = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def tokens(store: RedisStore, scripts: Scripts) -> TokenStore:
    return TokenStore(store, scripts)


def digest(made: NewSecret) -> bytes:
    read = read_token(made.text)
    assert read is not None
    return read[1]


async def create(tokens: TokenStore, *, expires_at: datetime | None = None) -> NewSecret:
    return await tokens.create(name="ci", scope=Scope.WRITE, now=NOW, expires_at=expires_at)


async def test_a_new_token_is_read_as_it_was_made(tokens: TokenStore) -> None:
    made = await create(tokens, expires_at=NOW + HOUR)

    assert await tokens.read(made.token.token_id) == made.token
    assert made.token.fits(digest(made), NOW)
    assert (made.token.name, made.token.scope, made.token.created_at) == ("ci", Scope.WRITE, NOW)


async def test_no_two_tokens_are_alike(tokens: TokenStore) -> None:
    made = [await create(tokens) for _ in range(20)]

    assert len({each.token.token_id for each in made}) == len({each.text for each in made}) == 20


async def test_an_unknown_token_is_none(tokens: TokenStore) -> None:
    assert await tokens.read("aaaaaaaaaa") is None


async def test_a_token_that_is_none_of_ours_is_named_as_damaged(tokens: TokenStore, store: RedisStore) -> None:
    await store.command("HSET", keys.api_token("aaaaaaaaaa"), "scope", "everything")

    with pytest.raises(DamagedKeyError, match="taskqueue:api:token:aaaaaaaaaa"):
        await tokens.read("aaaaaaaaaa")


async def test_all_tokens_are_listed_the_oldest_first(tokens: TokenStore) -> None:
    younger = await tokens.create(name="b", scope=Scope.READ, now=NOW + HOUR)
    older = await tokens.create(name="a", scope=Scope.ADMIN, now=NOW)

    assert await tokens.all() == [older.token, younger.token]


async def test_a_token_whose_time_is_over_in_redis_leaves_the_list(tokens: TokenStore, store: RedisStore) -> None:
    made = await create(tokens)
    await store.command("DEL", keys.api_token(made.token.token_id))

    assert await tokens.all() == []
    assert not await tokens.any_exist()


async def test_a_revoked_token_keeps_the_instant_of_its_first_revocation(tokens: TokenStore) -> None:
    made = await create(tokens)

    assert (await tokens.revoke(made.token.token_id, NOW)).revoked_at == NOW
    again = await tokens.revoke(made.token.token_id, NOW + HOUR)

    assert again.revoked_at == NOW
    assert again.state(NOW) is TokenState.REVOKED


async def test_a_revoked_token_is_kept_for_90_days(tokens: TokenStore, store: RedisStore) -> None:
    made = await create(tokens)
    assert await store.command("PTTL", keys.api_token(made.token.token_id)) == -1

    await tokens.revoke(made.token.token_id, NOW)

    assert 89 * 86_400 < await store.command("TTL", keys.api_token(made.token.token_id)) <= 90 * 86_400


async def test_after_a_rotation_both_secrets_hold_for_the_overlap(tokens: TokenStore) -> None:
    old = await create(tokens, expires_at=NOW + 10 * HOUR)

    new = await tokens.rotate(old.token.token_id, now=NOW, overlap=HOUR)

    read = await tokens.read(old.token.token_id)
    assert read == new.token
    assert read.expires_at == NOW + 10 * HOUR
    assert read.rotated_at == NOW
    assert read.fits(digest(new), NOW)
    assert read.fits(digest(old), NOW + HOUR - SECOND)
    assert not read.fits(digest(old), NOW + HOUR)


async def test_a_second_rotation_ends_the_secret_before_the_last_at_once(tokens: TokenStore) -> None:
    first = await create(tokens)
    second = await tokens.rotate(first.token.token_id, now=NOW, overlap=HOUR)

    third = await tokens.rotate(first.token.token_id, now=NOW, overlap=HOUR)

    assert [third.token.fits(digest(each), NOW) for each in (first, second, third)] == [False, True, True]


async def test_two_rotations_at_the_same_time_leave_two_secrets_that_hold(tokens: TokenStore) -> None:
    first = await create(tokens)

    made = await asyncio.gather(*[tokens.rotate(first.token.token_id, now=NOW, overlap=HOUR) for _ in range(2)])

    token = await tokens.read(first.token.token_id)
    assert token is not None
    assert [token.fits(digest(each), NOW) for each in made] == [True, True]
    assert not token.fits(digest(first), NOW)


async def test_a_revoked_token_gets_no_new_secret(tokens: TokenStore) -> None:
    made = await create(tokens)
    await tokens.revoke(made.token.token_id, NOW)

    with pytest.raises(RefusedError, match="is revoked"):
        await tokens.rotate(made.token.token_id, now=NOW, overlap=HOUR)


async def test_an_expired_token_gets_a_new_secret_only_with_a_new_end(tokens: TokenStore) -> None:
    made = await create(tokens, expires_at=NOW)

    with pytest.raises(RefusedError, match="has expired; say with --expires"):
        await tokens.rotate(made.token.token_id, now=NOW, overlap=HOUR)
    renewed = await tokens.rotate(made.token.token_id, now=NOW, overlap=HOUR, expires_at=NOW + HOUR)

    assert renewed.token.state(NOW) is TokenState.ACTIVE


async def test_what_does_not_exist_can_be_neither_revoked_nor_rotated(tokens: TokenStore) -> None:
    with pytest.raises(NotFoundError, match="no token aaaaaaaaaa"):
        await tokens.revoke("aaaaaaaaaa", NOW)
    with pytest.raises(NotFoundError, match="no token aaaaaaaaaa"):
        await tokens.rotate("aaaaaaaaaa", now=NOW, overlap=HOUR)
    assert await tokens.all() == []


async def test_a_use_is_noted_at_most_once_a_minute(tokens: TokenStore) -> None:
    made = await create(tokens)
    noted = []

    for second in (0, 30, 59, 60, 61):
        await tokens.note_use(made.token.token_id, NOW + second * SECOND)
        token = await tokens.read(made.token.token_id)
        assert token is not None
        noted.append(token.last_used_at)

    assert noted == [NOW, NOW, NOW, NOW + 60 * SECOND, NOW + 60 * SECOND]


async def test_the_use_of_a_token_that_is_gone_leaves_nothing_behind(tokens: TokenStore, store: RedisStore) -> None:
    await tokens.note_use("aaaaaaaaaa", NOW)

    assert await store.command("DBSIZE") == 0


async def test_no_secret_is_in_redis_or_in_a_representation(tokens: TokenStore, store: RedisStore) -> None:
    old = await create(tokens)
    new = await tokens.rotate(old.token.token_id, now=NOW, overlap=HOUR)

    said = b"".join(await store.command("HGETALL", keys.api_token(old.token.token_id))) + repr((old, new)).encode()

    for made in (old, new):
        secret = made.text.rpartition("_")[2]
        assert secret.encode() not in said
        assert secret[:32].encode() not in said
