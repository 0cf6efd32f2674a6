"""JSON from people and other programs: what RFC 8259 allows, less what two readers would understand differently."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Never

from taskqueue.errors import InvalidValueError


def parse_strict_json(text: str, *, expected: str = "one whole JSON value", max_depth: int | None = None) -> object:
    """Return the value that `text` spells; an error of its form says to give what is `expected`.

    Raises InvalidValueError when it is not JSON, has NaN, an infinity or a number beyond those that a float can hold,
    an object with the same key twice, or a text that is not valid Unicode, or when objects and lists are nested deeper
    than `max_depth` levels (None: than Python can read, some hundred).
    """
    try:
        value: object = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise InvalidValueError(f"not JSON at character {error.pos + 1}: {error.msg}; give {expected}") from None
    except InvalidValueError:
        raise
    except ValueError:
        raise InvalidValueError("a number of thousands of digits; use a smaller one") from None
    except RecursionError:
        raise InvalidValueError("nested too deeply; use fewer brackets") from None
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    if max_depth is not None and _nested_deeper_than(value, max_depth):
        raise InvalidValueError(f"nested deeper than {max_depth} levels; use fewer brackets")
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise InvalidValueError(f"the key {_first_repeated(pairs)[:60]!r} stands twice in an object; keep one")
    return result


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    return key


def _refuse_constant(name: str) -> Never:
    raise InvalidValueError(f"{name} is not a JSON number; use a finite one")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidValueError(f"{text[:30]} is beyond what a number can be; use one below 1.8e308")
    return number


def _nested_deeper_than(value: object, levels: int) -> bool:
    # Level by level: a recursion would end at Python's own bound.
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
    return bool(level)


def _children(node: dict[str, object] | list[object]) -> Iterable[object]:
    return node.values() if isinstance(node, dict) else node


def _refuse_lone_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidValueError("has a lone surrogate (\\ud800 to \\udfff); write the whole character") from None
