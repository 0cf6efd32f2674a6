"""The tokens of the API: a hash for each, which holds the digest of its secret and never the secret."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.token import (
    ALPHABET,
    ID_CHARS,
    SECRET_CHARS,
    ApiToken,
    Scope,
    check_token_id,
    check_token_name,
    digest_of,
    token_text,
)
from taskqueue.errors import DamagedKeyError, NotFoundError, RefusedError, StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: how long a revoked token is still shown
REVOKED_KEPT = timedelta(days=90)

#: a use is noted this often at most
USE_NOTED_EVERY = timedelta(minutes=1)

#: tokens whose hashes are read in one go
_BATCH = 500

_REFUSALS = {
    "unknown": "there is no token {}; see taskqueue token list",
    "revoked": "token {} is revoked and gets no new secret; use taskqueue token create",
    "expired": "token {} has expired; say with --expires how long it shall hold from now on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A token that was just made or rotated, and the only copy of its text."""

    token: ApiToken
    text: str = field(repr=False)


class TokenStore:
    """`taskqueue:api:token:{id}`, and which ids there are."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def create(self, *, name: str, scope: Scope, now: datetime, expires_at: datetime | None = None) -> NewSecret:
        """Make a token that holds from `now` on. Raises InvalidValueError for a name that is none, StoreError."""
        token_id, secret = _random(ID_CHARS), _random(SECRET_CHARS)
        token = ApiToken(
            token_id=token_id,
            name=check_token_name(name),
            scope=scope,
            digest=digest_of(secret),
            created_at=now,
            expires_at=expires_at,
        )
        arguments = [token_id, *_fields_of(token)]
        if not await self._scripts.call("api_token_create", [keys.api_token(token_id), keys.API_TOKENS], arguments):
            raise StoreError(f"token {token_id}: its random id is taken already; create it again")
        return NewSecret(token=token, text=token_text(token_id, secret))

    async def read(self, token_id: str) -> ApiToken | None:
        """Return the token; None when there is none. Raises StoreError, DamagedKeyError."""
        return await self._read(check_token_id(token_id))

    async def all(self) -> list[ApiToken]:
        """Return every token, revoked ones included, the oldest first. Raises StoreError."""
        raw_ids = await self._store.command("SMEMBERS", keys.API_TOKENS)
        token_ids = [raw.decode(errors="backslashreplace") for raw in raw_ids]
        found: list[ApiToken] = []
        gone: list[str] = []
        for start in range(0, len(token_ids), _BATCH):
            batch = token_ids[start : start + _BATCH]
            # They all go out in one write.
            for token_id, token in zip(batch, await asyncio.gather(*map(self._read, batch)), strict=True):
                if token is None:
                    gone.append(token_id)
                else:
                    found.append(token)
        if gone:
            await self._store.command("SREM", keys.API_TOKENS, *gone)
        return sorted(found, key=lambda token: (token.created_at, token.token_id))

    async def any_exist(self) -> bool:
        """Return whether a token was ever made here."""
        return bool(await self._store.ask(("EXISTS", keys.API_TOKENS)))

    async def revoke(self, token_id: str, now: datetime) -> ApiToken:
        """Let the token hold no more and return it; an API that has just seen it follows within 5 s.

        The first revocation counts. Raises NotFoundError where there is no such token.
        """
        arguments = [to_unix_ms(now), REVOKED_KEPT // timedelta(milliseconds=1)]
        flat = await self._scripts.call_again("api_token_revoke", [keys.api_token(check_token_id(token_id))], arguments)
        token = _token_of(token_id, flat)
        if token is None:
            raise _refused("unknown", token_id)
        return token

    async def rotate(
        self, token_id: str, *, now: datetime, overlap: timedelta, expires_at: datetime | None = None
    ) -> NewSecret:
        """Give the token a new secret and return it; the present one holds for `overlap` more.

        `expires_at` replaces the one that it has. Raises NotFoundError for an unknown token, RefusedError for one that
        is revoked or expired.
        """
        key, secret = keys.api_token(check_token_id(token_id)), _random(SECRET_CHARS)
        expires = "" if expires_at is None else to_unix_ms(expires_at)
        digest, until = digest_of(secret).hex(), to_unix_ms(now + overlap)
        word, flat = await self._scripts.call("api_token_rotate", [key], [digest, to_unix_ms(now), until, expires])
        token = _token_of(token_id, flat)
        if word != b"rotated" or token is None:
            raise _refused(word.decode(), token_id)
        return NewSecret(token=token, text=token_text(token_id, secret))

    async def note_use(self, token_id: str, now: datetime) -> None:
        """Note that the token was used at `now`, unless that was noted less than a minute ago. Raises StoreError."""
        arguments = [to_unix_ms(now), USE_NOTED_EVERY // timedelta(milliseconds=1)]
        await self._scripts.call("api_token_used", [keys.api_token(token_id)], arguments)

    async def _read(self, token_id: str) -> ApiToken | None:
        return _token_of(token_id, await self._store.ask(("HGETALL", keys.api_token(token_id))))


def _fields_of(token: ApiToken) -> list[str]:
    """Return fields and values, alternating; an instant is unix ms, or empty where there is none."""
    return [
        *("name", token.name),
        *("scope", token.scope),
        *("digest", token.digest.hex()),
        *("created_at", str(to_unix_ms(token.created_at))),
        *("expires_at", "" if token.expires_at is None else str(to_unix_ms(token.expires_at))),
        *("last_used_at", "", "revoked_at", "", "rotated_at", "", "previous_digest", "", "previous_until", ""),
    ]


def _token_of(token_id: str, flat: Sequence[bytes]) -> ApiToken | None:
    """Return the token that `flat` (fields and values, alternating) says; None where it is empty."""
    if not flat:
        return None
    said = {field.decode(errors="replace"): value for field, value in zip(flat[::2], flat[1::2], strict=True)}
    try:
        return ApiToken(
            token_id=token_id,
            name=said["name"].decode(),
            scope=Scope(said["scope"].decode()),
            digest=bytes.fromhex(said["digest"].decode()),
            created_at=from_unix_ms(int(said["created_at"])),
            expires_at=_instant(said["expires_at"]),
            last_used_at=_instant(said["last_used_at"]),
            revoked_at=_instant(said["revoked_at"]),
            rotated_at=_instant(said["rotated_at"]),
            previous_digest=bytes.fromhex(said["previous_digest"].decode()),
            previous_until=_instant(said["previous_until"]),
        )
    except (KeyError, ValueError, OverflowError):
        raise DamagedKeyError(keys.api_token(token_id), "is no token of ours", unreadable=True) from None


def _instant(milliseconds: bytes) -> datetime | None:
    return from_unix_ms(int(milliseconds)) if milliseconds else None


def _refused(word: str, token_id: str) -> NotFoundError | RefusedError:
    return (NotFoundError if word == "unknown" else RefusedError)(_REFUSALS[word].format(token_id))


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
