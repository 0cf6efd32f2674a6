"""Idempotency-Key on POST: a request that is sent again gets the answer of the first time, for 24 hours.

Only answers that tell of an effect (2xx) are kept. A request that was refused left nothing behind, so that the same key
may come again, also with a corrected body. Where nobody knows whether it had its effect (Redis went away, the deadline
passed, the process died), the same request may come again and no other: what it makes has ids derived from a nonce that
is kept with the key, so that it finds them there. After those 24 hours the key is new, and so are the ids.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from taskqueue.api.auth import Caller
from taskqueue.api.body import ReadRequest
from taskqueue.api.problems import RETRY_AFTER_S, FieldProblem, ProblemError, unprocessable
from taskqueue.api.services import Services
from taskqueue.core.ids import IDEMPOTENCY_KEY_RULE, is_idempotency_key
from taskqueue.errors import InvalidValueError, StoreError
from taskqueue.store.api_requests import IdempotencyStore, KeyedRequest, Standing, StoredAnswer
from taskqueue.store.connection import COMMAND_TIMEOUT_S

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

#: headers of an answer that belong to what it says; the others are of the request at hand
_KEPT_HEADERS = ("content-type", "location", "etag")
_GONE_MARGIN = timedelta(seconds=5)
#: what an endpoint raises where it has done nothing
_REFUSALS = (ProblemError, HTTPException, RequestValidationError, InvalidValueError)


def idempotency_seed(request: Request) -> str | None:
    """Return what ids may be derived from so that sending `request` again finds them; None where it has no key.

    It differs between tokens and keys, and from what the key stood for before it was forgotten.
    """
    seed: str | None = getattr(request.state, "idempotency_nonce", None)
    return seed


async def answer_once(
    request: Request, caller: Caller, services: Services, endpoint: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Return the answer of `endpoint`, or the one that it gave when the same request came before.

    Raises ProblemError: 409 (with Retry-After) while the same key is in work, 422 where the key stands for another
    request or is none.
    """
    key = request.headers.get(HEADER) if request.method == "POST" else None
    if key is None:
        return await endpoint(request)
    store = IdempotencyStore(services.scripts)
    keyed = KeyedRequest(
        token_id=caller.token_id, key=_checked(key), fingerprint=_fingerprint(request), holder=uuid4().hex
    )
    gone_after = services.settings.api.request_deadline + _GONE_MARGIN
    beginning = await store.begin(keyed, gone_after=gone_after)
    match beginning.standing:
        case Standing.RUNNING:
            raise _in_work(beginning.held_for)
        case Standing.OTHER:
            raise _wrong_key("stands for another request; use a new one for each", code="idempotency_key_reused")
        case Standing.DONE if (answer := beginning.answer) is not None:
            return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
    request.state.idempotency_nonce = beginning.nonce
    return await _first_answer(request, keyed, store, endpoint)


async def _first_answer(
    request: Request,
    keyed: KeyedRequest,
    store: IdempotencyStore,
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Response:
    try:
        response = await endpoint(request)
    except _REFUSALS:
        # Where Redis does not hear this, nor what follows, the holder's time runs out.
        with suppress(StoreError):
            await store.forget(keyed)
        raise
    except asyncio.CancelledError:
        # What was asked last may still be under way.
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await store.release(keyed, gone_after=timedelta(seconds=COMMAND_TIMEOUT_S))
        raise
    except Exception:
        with suppress(StoreError):
            await store.release(keyed)
        raise
    if response.status_code >= 300:
        await store.forget(keyed)
        return response
    # It was done, and whoever sent it is to know: without this, it is found when it is sent again.
    with suppress(StoreError):
        await _keep(keyed, store, response)
    return response


async def _keep(keyed: KeyedRequest, store: IdempotencyStore, response: Response) -> None:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    await store.keep(keyed, StoredAnswer(status=response.status_code, headers=headers, body=bytes(response.body)))


def _in_work(held_for: timedelta) -> ProblemError:
    retry_after_s = min(RETRY_AFTER_S, max(1, math.ceil(held_for.total_seconds())))
    return ProblemError(
        status=409,
        code="idempotency_key_in_use",
        detail=f"a request with this {HEADER} is in work; send it again in {retry_after_s} s",
        headers={"Retry-After": str(retry_after_s)},
    )


def _checked(key: str) -> str:
    if not is_idempotency_key(key):
        raise _wrong_key(IDEMPOTENCY_KEY_RULE, code="invalid")
    return key


def _wrong_key(detail: str, *, code: str) -> Exception:
    return unprocessable(f"{HEADER}: {detail}", FieldProblem(parameter=HEADER, detail=detail), code=code)


def _fingerprint(request: Request) -> str:
    digest = hashlib.sha256()
    # Not request.url: a Host header that is none would make that raise.
    for part in (request.method.encode(), request.scope["path"].encode(), request.scope["query_string"]):
        digest.update(part + b"\0")
    digest.update(request.raw if isinstance(request, ReadRequest) else b"")
    return digest.hexdigest()
