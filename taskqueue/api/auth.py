"""Who calls, and whether they may: bearer tokens with scopes.

An endpoint says what it needs by the type of a parameter: `caller: Reader`, `caller: Writer` or `caller: Admin`. Its
route (route.py) asks the Authenticator before it reads the body.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Annotated, NoReturn, cast

from fastapi import Depends
from fastapi.security import HTTPBearer
from pydantic import SecretStr
from starlette.requests import Request

from taskqueue.api.problems import ProblemError, too_many_requests
from taskqueue.api.throttle import FailureThrottle, throttled_address
from taskqueue.core.token import ApiToken, Scope, TokenState, digest_of, read_token
from taskqueue.errors import StoreError
from taskqueue.runtime import Now
from taskqueue.store.tokens import USE_NOTED_EVERY, TokenStore
from taskqueue.telemetry.api_events import NoTokens, TokenRefused
from taskqueue.telemetry.events import Emit

__all__ = ["Admin", "Authenticator", "Caller", "Reader", "RequiresScope", "Scope", "Writer", "check_scope"]

#: how long what Redis said of a token counts, from the question on: a revocation is to hold within 5 s
TRUSTED_S = 3.0

#: tokens that are remembered; beyond that the one that was quiet for longest is forgotten
MOST_KNOWN = 1000

#: the id that stands for the bootstrap token; no other has a character that is not of base32
BOOTSTRAP = "bootstrap"

_HINT_EVERY_S = 60.0

#: RFC 6750, section 2.1
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.ASCII | re.IGNORECASE)

_CHALLENGE = 'Bearer realm="taskqueue"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The token that a request came with, by its id; never its secret."""

    token_id: str
    scope: Scope


class Refusal(StrEnum):
    """Why a token was not accepted, for the log and the metrics."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a word for the log
    EXPIRED = "expired"
    REVOKED = "revoked"
    THROTTLED = "throttled"


#: what somebody is told who need not guess: who sent nothing, or the right secret
_TOLD = {
    Refusal.MISSING: ("unauthorized", "no token; send the header Authorization: Bearer tq_…"),
    Refusal.EXPIRED: ("token_expired", "this token has expired; ask an administrator to rotate it"),
    Refusal.REVOKED: ("token_revoked", "this token was revoked; ask an administrator for a new one"),
}
_NOT_VALID = ("invalid_token", "this token is not valid")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A token whose secret somebody has shown, as Redis had it when it was asked."""

    token: ApiToken
    asked_at_s: float


_Question = asyncio.Task[ApiToken | Refusal]


def check_scope(caller: Caller, needed: Scope) -> None:
    """Raise ProblemError 403 where the scope of `caller` is not enough."""
    if not caller.scope.allows(needed):
        raise ProblemError(
            status=403,
            code="insufficient_scope",
            detail=f"this needs a token of scope {needed}; this one has {caller.scope}",
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{needed}"'},
        )


class Authenticator:
    """Finds out who sent a request.

    Secrets are compared in constant time, and what is not valid gets the same answer whether its id exists or not. A
    token that was accepted is asked for again after TRUSTED_S. Once an address has used up its `max_failures` per
    minute, only tokens that were accepted before get further there. Instants of `now` are those of Redis,
    `monotonic_s` is a clock of this host.
    """

    def __init__(
        self,
        tokens: TokenStore,
        *,
        bootstrap_token: SecretStr,
        max_failures: int,
        now: Now,
        emit: Emit,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        secret = bootstrap_token.get_secret_value()
        self._bootstrap_digest = digest_of(secret) if secret else None
        self._throttle = FailureThrottle(max_failures)
        self._now = now
        self._emit = emit
        self._monotonic_s = monotonic_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._questions: dict[tuple[str, bytes], _Question] = {}
        self._hinted_at_s = -_HINT_EVERY_S

    async def authenticate(self, request: Request) -> Caller:
        """Return who sent `request`.

        Raises ProblemError: 401 without a token that holds, 429 after too many failures. Raises StoreError when Redis
        does not say whether a token holds.
        """
        client = request.client.host if request.client else ""
        headers = request.headers.getlist("authorization")
        return await (self._identified(headers, client) if headers else self._refuse(Refusal.MISSING, client))

    async def _identified(self, headers: list[str], client: str) -> Caller:
        # Two headers are two opinions on who calls, of which a proxy may have checked the other.
        match = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        text = match[1] if match else ""
        if self._is_bootstrap(text):
            return Caller(token_id=BOOTSTRAP, scope=Scope.ADMIN)
        read = read_token(text)
        if read is None:
            self._count_try(client)
            return await self._refuse(Refusal.MALFORMED, client)
        token_id, digest = read
        token = await self._token(token_id, digest, client)
        state = token.state(self._now())
        if state is not TokenState.ACTIVE:
            return await self._refuse(Refusal(state.value), client, token_id)
        await self._note_use(token)
        return Caller(token_id=token_id, scope=token.scope)

    def _is_bootstrap(self, text: str) -> bool:
        return self._bootstrap_digest is not None and hmac.compare_digest(digest_of(text), self._bootstrap_digest)

    async def _token(self, token_id: str, digest: bytes, client: str) -> ApiToken:
        """Return the token that has a secret of `digest`, as of TRUSTED_S ago at most."""
        known = self._known.get(token_id)
        proven = known is not None and known.token.fits(digest, self._now())
        if known is not None and proven and self._monotonic_s() - known.asked_at_s < TRUSTED_S:
            self._known.move_to_end(token_id)
            return known.token
        # The first requests of a caller come together: they ask once, and are one try. By the digest, as another secret
        # is another try.
        question = self._questions.get((token_id, digest))
        if question is None:
            if not proven:
                self._count_try(client)
            question = self._begin(token_id, digest, client, proven=proven)
        found = await asyncio.shield(question)
        return await self._refuse(found, client, token_id) if isinstance(found, Refusal) else found

    def _begin(self, token_id: str, digest: bytes, client: str, *, proven: bool) -> _Question:
        # A task of its own: whoever asked first may go before the answer comes. It ends as Redis is asked, in seconds.
        question = asyncio.create_task(self._ask(token_id, digest, client, proven=proven))
        self._questions[token_id, digest] = question
        question.add_done_callback(lambda _: self._end(token_id, digest))
        return question

    def _end(self, token_id: str, digest: bytes) -> None:
        question = self._questions.pop((token_id, digest))
        if not question.cancelled():
            # Where nobody waits for it any more, its error is nobody's.
            question.exception()

    async def _ask(self, token_id: str, digest: bytes, client: str, *, proven: bool) -> ApiToken | Refusal:
        """Return the token as Redis has it, or why it does not hold."""
        # Before the question, not after the answer: from then on it may have changed.
        asked_at_s, refusal = self._monotonic_s(), None
        try:
            token = await self._tokens.read(token_id)
            if token is None or not token.fits(digest, self._now()):
                refusal = Refusal.UNKNOWN if token is None else Refusal.WRONG_SECRET
        finally:
            # Where Redis is away, nobody has guessed wrong.
            if refusal is None and not proven:
                self._throttle.give_back(throttled_address(client), self._monotonic_s())
        if token is None or refusal is not None:
            if proven:
                # It is gone, or has another secret: who goes on with this one counts as guessing.
                self._known.pop(token_id, None)
            return refusal or Refusal.UNKNOWN
        self._remember(_Known(token=token, asked_at_s=asked_at_s))
        return token

    def _remember(self, known: _Known) -> None:
        self._known[known.token.token_id] = known
        self._known.move_to_end(known.token.token_id)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def _note_use(self, token: ApiToken) -> None:
        now = self._now()
        known = self._known.get(token.token_id)
        # Not that of `token`: of those that came together the first one has noted it.
        last_used_at = None if known is None else known.token.last_used_at
        if known is None or (last_used_at is not None and now - last_used_at < USE_NOTED_EVERY):
            return
        self._known[token.token_id] = replace(known, token=replace(known.token, last_used_at=now))
        # That a token was used is worth no failed request.
        with suppress(StoreError):
            await self._tokens.note_use(token.token_id, now)

    def _count_try(self, client: str) -> None:
        """Raise ProblemError when the address of `client` has failed too often."""
        wait_s = self._throttle.take(throttled_address(client), self._monotonic_s())
        if wait_s:
            self._emit(TokenRefused(reason=Refusal.THROTTLED, client=client))
            raise too_many_requests(
                f"too many tokens that are not valid came from this address; try again in {ceil(wait_s)} s",
                retry_after_s=ceil(wait_s),
                code="too_many_failures",
            )

    async def _refuse(self, reason: Refusal, client: str, token_id: str = "") -> NoReturn:
        self._emit(TokenRefused(reason=reason, client=client, caller=token_id))
        await self._hint()
        code, detail = _TOLD.get(reason, _NOT_VALID)
        error = "" if reason is Refusal.MISSING else ', error="invalid_token"'
        raise ProblemError(status=401, code=code, detail=detail, headers={"WWW-Authenticate": _CHALLENGE + error})

    async def _hint(self) -> None:
        """Tell the log how to make a token where there is none; whoever is refused is not told."""
        now_s = self._monotonic_s()
        if self._bootstrap_digest is not None or now_s - self._hinted_at_s < _HINT_EVERY_S:
            return
        self._hinted_at_s = now_s
        # The answer is 401 whether Redis says so or not.
        with suppress(StoreError):
            if not await self._tokens.any_exist():
                self._emit(NoTokens())


class RequiresScope(HTTPBearer):
    """A dependency that is the caller; also what tells the route, and the OpenAPI document, which scope it needs."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            scheme_name="bearer",
            bearerFormat="tq_<id>_<secret>",
            description="taskqueue token create",
            auto_error=False,
        )
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # what FastAPI's returns, nobody needs
        """Return who the route found to have sent `request`."""
        return cast(Caller, request.state.caller)


Reader = Annotated[Caller, Depends(RequiresScope(Scope.READ))]
Writer = Annotated[Caller, Depends(RequiresScope(Scope.WRITE))]
Admin = Annotated[Caller, Depends(RequiresScope(Scope.ADMIN))]
