"""Tokens of the API: how one is spelt, what is known of it, and whether it holds.

A token is `tq_{id}_{secret}`, in the alphabet of base32 in lower case: an id of 10 characters, which may stand in logs,
and a secret of 39, of which the last 7 are the CRC-32 of what stands before. So a token is found wherever it leaks, and
a mistyped one is refused without a look into Redis. Of the secret only its SHA-256 is kept: 160 random bits need no
slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from base64 import b32encode
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from taskqueue.errors import InvalidValueError

#: what ids and secrets are made of (RFC 4648, section 6, in lower case)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID_CHARS = 10
#: 160 bits
SECRET_CHARS = 32

MAX_NAME_CHARS = 80

_TOKEN = re.compile(r"tq_([a-z2-7]{10})_([a-z2-7]{32})([a-z2-7]{7})", re.ASCII)
#: also one that was cut, mistyped or glued to something
_LEAKED = re.compile(r"(tq_[a-z2-7]{10})_[a-z2-7]+", re.ASCII | re.IGNORECASE)
_TOKEN_ID = re.compile(r"[a-z2-7]{10}", re.ASCII)


class Scope(StrEnum):
    """What a token allows; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: Scope) -> bool:
        """Return whether a token of this scope may do what needs `needed`."""
        order = tuple(Scope)
        return order.index(self) >= order.index(needed)


class TokenState(StrEnum):
    """Whether a token holds."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What is known of a token; instants are aware, None where it never happened or never will.

    `digest` is that of its secret. After a rotation the secret before, of `previous_digest`, holds until
    `previous_until`.
    """

    token_id: str
    name: str
    scope: Scope
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_at: datetime | None = None
    previous_digest: bytes = field(default=b"", repr=False)
    previous_until: datetime | None = None

    def state(self, now: datetime) -> TokenState:
        """Return whether the token holds at `now`."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        expired = self.expires_at is not None and self.expires_at <= now
        return TokenState.EXPIRED if expired else TokenState.ACTIVE

    def fits(self, digest: bytes, now: datetime) -> bool:
        """Return whether `digest` is that of the token's secret, or of the one before where that holds at `now`."""
        overlaps = self.previous_until is not None and now < self.previous_until
        # Both are compared, each in constant time: how long it takes says nothing about either.
        previous = hmac.compare_digest(digest, self.previous_digest) and overlaps
        return hmac.compare_digest(digest, self.digest) or previous


def token_text(token_id: str, secret: str) -> str:
    """Return the token of this id and `secret`, SECRET_CHARS of ALPHABET at random."""
    text = f"tq_{token_id}_{secret}"
    return text + _checksum(text)


def read_token(text: str) -> tuple[str, bytes] | None:
    """Return the id of the token `text` and the digest of its secret; None where it is no token."""
    match = _TOKEN.fullmatch(text)
    if match is None or _checksum(text[:-7]) != match[3]:
        return None
    return match[1], digest_of(match[2])


def without_secrets(text: str) -> str:
    """Return `text` with the tokens in it cut after their ids: some people put a token where an id belongs."""
    return _LEAKED.sub(r"\1_[redacted]", text)


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of `secret`, which is all that is kept of it."""
    return hashlib.sha256(secret.encode()).digest()


def check_token_id(token_id: str) -> str:
    """Return `token_id`, or raise InvalidValueError. A whole token is never repeated in the error."""
    if not _TOKEN_ID.fullmatch(token_id):
        raise InvalidValueError("not the id of a token; use the 10 characters that `taskqueue token list` shows")
    return token_id


def check_token_name(name: str) -> str:
    """Return `name`, or raise InvalidValueError: 1 to 80 printable characters."""
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise InvalidValueError(f"name of a token: use 1 to {MAX_NAME_CHARS} printable characters")
    return name


def _checksum(text: str) -> str:
    return b32encode(zlib.crc32(text.encode()).to_bytes(4, "big")).decode().rstrip("=").lower()
