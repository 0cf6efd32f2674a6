"""The bodies of requests: within limits of size, time and depth, and nothing but JSON where JSON is wanted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

#: the longest that a client may take to send a body; a slower one holds memory for nothing
BODY_TIMEOUT_S = 10.0

#: of the length of a body; one with more is too large in any case
_MOST_DIGITS = 12


async def read_json_object(request: Request, *, max_bytes: int = 1 << 20, max_depth: int = 32) -> dict[str, object]:
    """Return the body of `request`, a JSON object.

    Raises HTTPException: 413 above `max_bytes`; 408 when the body takes longer than BODY_TIMEOUT_S; 400 when it is not
    JSON as RFC 8259 has it (NaN, duplicate keys, invalid UTF-8 and lone surrogates included); 422 when it is JSON but
    not an object, or nested deeper than `max_depth`.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await read_at_most(request, max_bytes)
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {BODY_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    if body is None:
        raise HTTPException(413, f"the body may have at most {max_bytes} bytes")
    value = _parse_json(body)
    if not isinstance(value, dict):
        raise HTTPException(422, "the body must be a JSON object")
    _check_nesting(value, max_depth)
    return value


async def read_at_most(request: Request, max_bytes: int) -> bytes | None:
    """Return the body of a request, None where it has more than `max_bytes`; the rest is then not read.

    Raises starlette's ClientDisconnect.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and (len(announced) > _MOST_DIGITS or int(announced) > max_bytes):
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _parse_json(body: bytes) -> object:
    try:
        value: object = json.loads(
            body.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
        # A lone surrogate parses, and would break whatever encodes the text later.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise HTTPException(422, "the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise HTTPException(400, "the body holds a lone surrogate (\\ud800 to \\udfff)") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {str(error)[:200]}") from None
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _check_nesting(value: object, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
    if level:
        raise HTTPException(422, f"the body is nested deeper than {max_depth} levels")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()
