"""JSON from people and other programs: what RFC 8259 allows, less what two readers would understand differently."""

from __future__ import annotations

import json
from typing import Never

from taskqueue.errors import InvalidValueError


def parse_strict_json(text: str) -> object:
    """Return the value that `text` spells.

    Raises InvalidValueError when it is not JSON, has NaN or an infinity, an object with the same key twice, or a text
    that is not valid Unicode.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidValueError(
            f"not JSON at character {error.pos + 1}: {error.msg}; give one whole JSON object on one line"
        ) from None
    except InvalidValueError:
        raise
    except ValueError:
        raise InvalidValueError("a number of thousands of digits; use a smaller one") from None
    except RecursionError:
        raise InvalidValueError("nested too deeply; use fewer brackets") from None
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidValueError(f"the key {twice[:60]!r} stands twice in an object; keep one")
    return result


def _refuse_constant(name: str) -> Never:
    raise InvalidValueError(f"{name} is not a JSON number; use a finite one")


def _refuse_lone_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidValueError("has a lone surrogate (\\ud800 to \\udfff); write the whole character") from None
