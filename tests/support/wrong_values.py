"""Values in YAML that are wrong for most keys of any settings file, and what a refusal must say."""

from __future__ import annotations

#: what may be written by mistake, whatever is wanted there
VALUES = {
    "null": "null",
    "a mapping": "{a: 1}",
    "an empty mapping": "{}",
    "a list": "[1]",
    "an empty list": "[]",
    "true": "true",
    "a fraction": "1.5",
    "zero": "0",
    "a negative number": "-1",
    "a huge number": "1" + "0" * 17,
    "a number of 400 digits": "9" * 400,
    "not a number": ".nan",
    "infinity": "-.inf",
    "an empty text": '""',
    "a blank text": '" "',
    "a long text": "x" * 3000,
    "a control character": r'"a\ab"',
    "two lines": r'"a\nb"',
}


def says_where_and_what(problem: str, place: str, path: str) -> bool:
    """Return whether a problem begins with its place, names the key at `path` and a remedy, and is short."""
    remedy = "; " in problem or ": use " in problem
    return problem.startswith(place) and f": {path}" in problem and remedy and len(problem) < 500
