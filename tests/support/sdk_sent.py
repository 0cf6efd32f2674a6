"""Whether an SDK has sent what it was given, as openapi.json says where it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.support.sdk_recorder import Exchange
from tests.support.sdk_schema import operation_of, operations, same

#: arguments of helpers that are no part of a request
_OF_THE_SDK = frozenset({"timeout_s"})
_INSTANTS = frozenset({"at", "next_execution_time", "timestamp"})
_HEADERS = frozenset({"idempotency_key", "if_match"})
_LISTS = frozenset({"tasks", "logs"})
_NOTHING: Any = object()


def unsent(arguments: Mapping[str, Any], exchange: Exchange, *, doubles: bool = False) -> Iterator[str]:
    """Yield which arguments of a call are not in its request: not in its path, query, headers or body.

    `page_size` of an iterator is the limit of its pages. With `doubles` numbers are as exact as a double.
    """
    given = {name: value for name, value in arguments.items() if name not in _OF_THE_SDK}
    if "page_size" in given:
        given["limit"] = given.pop("page_size")
    places = _places(exchange)
    for name, value in given.items():
        sent = places.get(name, _NOTHING)
        if sent is _NOTHING:
            yield f"{name}: was not sent"
        elif not _same(name, value, sent, doubles=doubles):
            yield f"{name}: {str(sent)[:300]!r} was sent, and {str(value)[:300]!r} given"


def unsent_pages(arguments: Mapping[str, Any], count: int, exchanges: list[Exchange]) -> Iterator[str]:
    """Yield what is wrong with the pages that an iterator over `count` items has asked for."""
    size = arguments["page_size"]
    expected = [[str(offset)] for offset in range(0, max(count, 1), size)]
    asked = [_query(exchange).get("offset", ["0"]) for exchange in exchanges]
    if asked != expected:
        yield f"the pages begin at {asked}, not at {expected}"


def _places(exchange: Exchange) -> dict[str, Any]:
    """Return all that was sent, by the names of arguments; a parameter of the query is a list of texts."""
    found = operations()[operation_of(exchange)][1].fullmatch(exchange.target.partition("?")[0])
    assert found is not None
    path = {name: unquote(part) for name, part in found.groupdict().items()}
    headers = {name.replace("-", "_"): value for name, value in exchange.request_headers.items()}
    kept = {name: headers[name] for name in _HEADERS & headers.keys()}
    body = json.loads(exchange.request_body) if exchange.request_body else {}
    return {**body, **_query(exchange), **kept, **path}


def _query(exchange: Exchange) -> dict[str, list[str]]:
    return parse_qs(exchange.target.partition("?")[2], keep_blank_values=True)


def _same(name: str, given: Any, sent: Any, *, doubles: bool) -> bool:
    if name in _LISTS:
        return len(given) == len(sent) and all(
            one.keys() == other.keys() and all(_same(key, one[key], other[key], doubles=doubles) for key in one)
            for one, other in zip(given, sent, strict=True)
        )
    if name in _INSTANTS:
        return _instant(given) == _instant(sent)
    return same(given, sent, doubles=doubles) or [str(each) for each in _listed(given)] == sent


def _instant(value: Any) -> datetime:
    (text,) = _listed(value)
    return datetime.fromisoformat(text)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
