"""What Redis knows about requests to the API: how many a token has left, and the answers to those with a key."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.scripts import Scripts

#: a request, and the answer to it, is known for so long
ANSWERS_KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How a token stands after one more request.

    `remaining` requests may pass at once, the next one after `next_in`; after `whole_in` all `burst` may again.
    """

    passed: bool
    remaining: int
    next_in: timedelta
    whole_in: timedelta


class QuotaStore:
    """The quotas of API tokens; a token that rests has none stored."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def take(self, token_id: str, *, rate: float, burst: int) -> Quota:
        """Count one request of the token: `rate` requests per second, `burst` at once. Raises StoreError."""
        passed, remaining, next_ms, whole_ms = await self._scripts.call(
            "api_quota", [keys.api_quota(token_id)], [burst, repr(rate)]
        )
        return Quota(
            passed=passed == 1,
            remaining=remaining,
            next_in=timedelta(milliseconds=next_ms),
            whole_in=timedelta(milliseconds=whole_ms),
        )


class Standing(StrEnum):
    """What is known about a request when it arrives."""

    #: nothing: it is to be done now, and ended
    BEGUN = "begun"
    #: it is being done
    RUNNING = "running"
    #: its key stands for another request
    OTHER = "other"
    #: it was done; the answer is known
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """A request with an Idempotency-Key. `fingerprint` tells it from others, `holder` is whoever does it."""

    token_id: str
    key: str
    fingerprint: str
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer as it went out: status, headers worth keeping, and body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How a request stood when it arrived. With BEGUN, `nonce` is the random word of its first time."""

    standing: Standing
    nonce: str = ""
    #: with DONE
    answer: StoredAnswer | None = None
    #: with RUNNING: until its holder counts as gone
    held_for: timedelta = timedelta()


class IdempotencyStore:
    """The requests with an Idempotency-Key of the last ANSWERS_KEPT."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def begin(self, request: KeyedRequest, *, gone_after: timedelta) -> Beginning:
        """Begin `request` unless it runs or was done.

        A holder that has neither ended it nor asked again for `gone_after` counts as gone; the request is known for
        ANSWERS_KEPT all the same, as nobody can say whether it was done. Raises StoreError.
        """
        key = keys.api_idempotency(request.token_id, request.key)
        arguments = (request.fingerprint, request.holder, _ms(gone_after), uuid4().hex, _ms(ANSWERS_KEPT))
        word, *more = await self._scripts.call_again("idempotency_begin", [key], arguments)
        match standing := Standing(word.decode()):
            case Standing.BEGUN:
                return Beginning(standing=standing, nonce=more[0].decode())
            case Standing.RUNNING:
                return Beginning(standing=standing, held_for=timedelta(milliseconds=more[0]))
            case Standing.DONE:
                return Beginning(standing=standing, answer=_answer_of(key, more[0]))
            case Standing.OTHER:
                return Beginning(standing=standing)

    async def keep(self, request: KeyedRequest, answer: StoredAnswer) -> None:
        """End `request` with `answer`, which is what it gets for ANSWERS_KEPT. Raises StoreError."""
        content = {"status": answer.status, "headers": dict(answer.headers), "body": b64encode(answer.body).decode()}
        await self._end(request, json.dumps(content))

    async def forget(self, request: KeyedRequest) -> None:
        """End `request` without a trace: it had no effect, and may be sent again, also changed. Raises StoreError.

        Where an earlier holder did not end it, it may have had one: then it may be sent again unchanged.
        """
        await self._end(request, "")

    async def release(self, request: KeyedRequest, *, gone_after: timedelta = timedelta()) -> None:
        """Let `request` be sent again, unchanged, after `gone_after`: whether it was done is unknown.

        Raises StoreError.
        """
        await self._scripts.call_again(
            "idempotency_release",
            [keys.api_idempotency(request.token_id, request.key)],
            [request.fingerprint, request.holder, _ms(gone_after)],
        )

    async def _end(self, request: KeyedRequest, answer: str) -> None:
        await self._scripts.call_again(
            "idempotency_end",
            [keys.api_idempotency(request.token_id, request.key)],
            [request.fingerprint, request.holder, _ms(ANSWERS_KEPT), answer],
        )


def _ms(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)


def _answer_of(key: str, text: bytes) -> StoredAnswer:
    try:
        content = json.loads(text)
        body = b64decode(content["body"], validate=True)
        return StoredAnswer(status=int(content["status"]), headers=dict(content["headers"]), body=body)
    except (ValueError, KeyError, TypeError):
        raise DamagedKeyError(key, "holds no answer in its field answer", unreadable=True) from None
