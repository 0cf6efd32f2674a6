"""Puts each request that may change something on record: in the log, and in the audit log in Redis.

What counts is that a token came with it that holds; also where the request was refused. Where its scope or its quota
was not enough, the log alone has it: nobody without the right to change anything pushes entries out of the audit log.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskqueue.api.context import route_of
from taskqueue.core.token import without_secrets
from taskqueue.errors import StoreError
from taskqueue.store.audit import AuditLog, Change
from taskqueue.telemetry.api_events import ChangeRecorded
from taskqueue.telemetry.events import Emit

_ONLY_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: they tell of no change, and any token can have as many of them as it sends requests
_IN_THE_LOG_ALONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})

#: an id in a path is data of whoever asks; no id of ours is longer
_MOST_CHARS = 512


class AuditTrail:
    """Stands around the endpoints, inside of what gives a request its id.

    The entry is written before the answer goes out: who has an answer finds the request on record, unless Redis failed
    in between, or the process ended. Then the log alone has it, and says so.
    """

    def __init__(self, app: ASGIApp, *, audit_log: AuditLog, emit: Emit) -> None:
        self._app = app
        self._audit_log = audit_log
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in _ONLY_READS:
            await self._app(scope, receive, send)
            return
        recorded = False

        async def record_then_send(message: Message) -> None:
            nonlocal recorded
            if message["type"] == "http.response.start" and not recorded:
                recorded = True
                await self._record(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, record_then_send)
        except asyncio.CancelledError:
            # Cut at the end of a drain: there is no time to wait for Redis.
            if not recorded and (change := _change(scope, 500)) is not None:
                self._tell(change, stored=False)
            raise
        except Exception:
            if not recorded:
                await self._record(scope, 500)
            raise

    async def _record(self, scope: Scope, status: int) -> None:
        change = _change(scope, status)
        if change is None:
            return
        stored = False
        try:
            if status not in _IN_THE_LOG_ALONE:
                with suppress(StoreError):
                    await self._audit_log.append(change)
                    stored = True
        finally:
            # Also where it is cut meanwhile.
            self._tell(change, stored=stored)

    def _tell(self, change: Change, *, stored: bool) -> None:
        self._emit(
            ChangeRecorded(
                method=change.method,
                route=change.route,
                ids=change.ids,
                caller=change.token_id,
                status=change.status,
                request_id=change.request_id,
                stored=stored,
            )
        )


def _change(scope: Scope, status: int) -> Change | None:
    """Return what goes on record of a request; None where it came without a token that holds."""
    caller = scope["state"].get("caller")
    if caller is None:
        return None
    return Change(
        method=scope["method"],
        route=route_of(scope),
        ids={name: without_secrets(str(value))[:_MOST_CHARS] for name, value in scope["path_params"].items()},
        token_id=caller.token_id,
        status=status,
        request_id=scope["state"]["request_id"],
    )
