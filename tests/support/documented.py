"""The examples of the API's published document, and whether an answer looks like one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parents[1] / "contract" / "api_examples.json"

#: by name; each has `method`, `path` and `status`, and `request` and `response` where there are bodies
EXAMPLES: Mapping[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))

#: how the document writes an instant: UTC, with Z
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def assert_as_documented(answer: object, name: str, *, more: tuple[str, ...] = ()) -> None:
    """Check that `answer` has what the response of the example `name` has: each field, and values of the same kind.

    At its top it may have the fields `more` beside those of the document, and no others.
    """
    example = EXAMPLES[name]["response"]
    assert isinstance(answer, dict)
    assert set(answer) == {*example, *more}
    _same_kind(answer, example, name)


def _same_kind(answer: Any, example: Any, place: str) -> None:
    kind = float if isinstance(example, int | float) and not isinstance(example, bool) else type(example)
    value = float(answer) if kind is float and type(answer) in {int, float} else answer
    assert isinstance(value, kind), f"{place}: {answer!r}"
    if isinstance(example, dict):
        for key, part in example.items():
            assert key in answer, f"{place}.{key} is missing"
            _same_kind(answer[key], part, f"{place}.{key}")
    elif isinstance(example, list):
        for position, part in enumerate(answer):
            _same_kind(part, example[0], f"{place}[{position}]")
    elif isinstance(example, str):
        for form in (_INSTANT, _ID):
            assert form.fullmatch(answer) or not form.fullmatch(example), f"{place}: {answer!r}"
