"""Reading the body of a request: JSON that every reader understands alike, and not more of it than is allowed."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from taskqueue.api.problems import ProblemError, bad_request
from taskqueue.config.api_sections import RestSettings
from taskqueue.config.strict_json import parse_strict_json
from taskqueue.errors import InvalidValueError
from taskqueue.request_body import read_at_most

_ACCEPTED = "application/json"


class ReadRequest(Request):
    """A request whose body was read, and parsed; FastAPI asks it for the value and never sees the text."""

    def __init__(self, request: Request, raw: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self.raw = raw
        self._value = value

    async def body(self) -> bytes:
        """Return the body as it came."""
        return self.raw

    async def json(self) -> Any:
        """Return the value that the body spells."""
        return self._value


async def read_request(request: Request, limits: RestSettings) -> ReadRequest:
    """Return `request` with its body, which may be empty.

    Raises ProblemError: 415 for another content type than JSON; 413 above `limits.max_body_bytes`, without reading
    the rest; 408 when it takes longer than `limits.request_deadline`; 400 when it is not JSON as RFC 8259 has it, has
    NaN, an infinity, a key twice or a lone surrogate, or is nested deeper than `limits.max_body_depth`.
    """
    deadline_s = limits.request_deadline.total_seconds()
    try:
        async with asyncio.timeout(deadline_s):
            raw = await read_at_most(request, limits.max_body_bytes)
    except TimeoutError:
        raise ProblemError(
            status=408, code="body_timeout", detail=f"the body took longer than {deadline_s:g} s; send it faster"
        ) from None
    except ClientDisconnect:
        raise bad_request("the connection ended before the body did") from None
    if raw is None:
        raise _too_large(limits.max_body_bytes)
    if not raw:
        return ReadRequest(request, b"", None)
    _check_content_type(request)
    return ReadRequest(request, raw, _parse(raw, limits.max_body_depth))


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(
        status=413,
        code="body_too_large",
        detail=f"the body may have at most {max_bytes} bytes; send less, or raise api.max_body_bytes",
        # What is on its way is not read: whoever goes on sending finds the connection closed.
        headers={"Connection": "close"},
    )


def _check_content_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    is_json = media_type == _ACCEPTED or (media_type.startswith("application/") and media_type.endswith("+json"))
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if not is_json or charset not in {"", "utf-8", "utf8"}:
        raise ProblemError(
            status=415,
            code="unsupported_media_type",
            detail="the body must be JSON in UTF-8; send it with Content-Type: application/json",
            headers={"Accept": _ACCEPTED},
        )


def _parse(raw: bytes, max_depth: int) -> object:
    try:
        return parse_strict_json(raw.decode("utf-8"), max_depth=max_depth)
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8 from byte {error.start + 1} on", code="malformed_json") from None
    except InvalidValueError as error:
        raise bad_request(f"the body: {error}", code="malformed_json") from None
