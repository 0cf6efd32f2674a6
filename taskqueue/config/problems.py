"""Validation that says where: each complaint of pydantic becomes one line `place: path: problem; remedy`.

Values appear in the lines only where they cannot be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler
from pydantic_core import ErrorDetails

from taskqueue.config.yaml_source import Document, Loc
from taskqueue.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

_SECRET_WORDS = ("password", "secret", "token", "headers", "url", "authorization", "credential")
_USERINFO = re.compile(r"^.*\S@(?=\S)")
_QUERY = re.compile(r"\?.*")
#: longer values are cut in error texts
_SHOWN = 60

#: of a file with more mistakes the first so many are told, and the others counted
_MOST_TOLD = 100
#: the same for a value without a file, whose mistakes share a line
_MOST_IN_A_LINE = 10
#: so many items of a list are judged together
_PIECE = 100

_EXPECTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
}
_BOUNDS = {
    "greater_than": ("gt", "a number above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "a number below"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least", "items"),
    "too_long": ("max_length", "at most", "items"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}
_KINDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: where it is in the value, and what to say of it (`problem; remedy`)."""

    loc: Loc
    text: str
    #: whether the key is wrong and not its value
    at_key: bool = False
    #: whether `loc` ends in a key that is not there
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Line:
    """A line of an error text; lines sort in the order of the file."""

    line: int
    column: int
    text: str


@dataclass(slots=True, kw_only=True)
class Untold:
    """How many mistakes a ValidationError lacks, because `in_pieces` has only counted them."""

    count: int = 0


def in_pieces(value: object, judge: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
    """Judge the items of a list piece by piece, and only count mistakes once there are as many as are told.

    For a WrapValidator. pydantic takes a kilobyte for each mistake and holds the interpreter meanwhile, and a file may
    have half a million of them. Where `info.context` is no Untold that takes the count, all is judged at once.
    """
    if not isinstance(value, list) or not isinstance(info.context, Untold):
        return judge(value)
    judged, wrong, end = list[object](), 0, len(value)
    for first in range(0, len(value), _PIECE):
        try:
            judged += judge(value[first : first + _PIECE])
        except ValidationError as error:
            if wrong < _MOST_TOLD:
                wrong, end = wrong + error.error_count(), first + _PIECE
            else:
                info.context.count += error.error_count()
    # From the start, so that each mistake has the place that it has in the whole list.
    return judge(value[:end]) if wrong else judged


def validate(
    build: Callable[[], M],
    model: type[M],
    locate: Callable[[Problem], Line],
    find_more: Callable[[], Iterable[Problem]] = tuple,
    untold: Untold | None = None,
) -> M:
    """Return what `build` makes; it validates against `model`, with `untold` as the context of `in_pieces`.

    `find_more` returns mistakes that a model cannot see. Raises one ConfigError with the first problems, a line each.
    """
    found = list(find_more())
    problems, more = found[:_MOST_TOLD], len(found[_MOST_TOLD:])
    try:
        result = build()
    except ValidationError as error:
        problems += _first_problems(error, model, _MOST_TOLD)
        more += max(0, error.error_count() - _MOST_TOLD) + (untold.count if untold else 0)
        raise _error(problems, locate, more) from None
    if problems:
        raise _error(problems, locate, more)
    return result


def in_document(document: Document, problem: Problem) -> Line:
    """Return the line for `problem` in `document`: `file:line:column: path: problem; remedy`."""
    entry, found = document.find(problem.loc)
    place = entry.key if problem.at_key else entry.value
    path = path_text((*found, problem.loc[-1]) if problem.absent else found)
    text = f"{document.name}:{place.line}:{place.column}: {path}{problem.text}"
    return Line(line=place.line, column=place.column, text=text)


def path_text(loc: Loc) -> str:
    """Return `loc` as it stands before a problem: `tasks[0].interval: `, or nothing for the whole file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key_text(part)}" for part in loc).removeprefix(".")
    return f"{text}: " if text else ""


def plain_text(error: ValidationError, model: type[BaseModel], value: object) -> str:
    """Return the problems of a `value` that has no file, in one line: `path: problem; remedy | path: …`."""
    problems = _first_problems(error, model, _MOST_IN_A_LINE)
    texts = [path_text(_found(value, problem)) + problem.text for problem in problems]
    more = error.error_count() - len(problems)
    return " | ".join([*texts, f"and {more:,} more"] if more else texts)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown `word`: the nearest known one, else all of them."""
    options = sorted(known)
    near = get_close_matches(word.lower(), options, n=1) or get_close_matches(word.upper(), options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(options)}"


def _found(value: object, problem: Problem) -> Loc:
    """Return the parts of the problem's place that `value` has; the others name members of unions."""
    found = list[str | int]()
    for part in problem.loc:
        if isinstance(value, dict) and part in value:
            value = value[part]
            found.append(part)
    return (*found, problem.loc[-1]) if problem.absent else tuple(found)


def _error(problems: Iterable[Problem], locate: Callable[[Problem], Line], more: int) -> ConfigError:
    lines = sorted({locate(problem) for problem in problems})
    return ConfigError(*(line.text for line in lines[:_MOST_TOLD]), more=more + len(lines[_MOST_TOLD:]))


def _first_problems(error: ValidationError, model: type[BaseModel], most: int) -> list[Problem]:
    return [_problem(detail, model) for detail in islice(error.errors(include_url=False), most)]


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    loc = detail["loc"]
    match detail["type"]:
        case "missing":
            return Problem(loc=loc, text="is missing; add it", absent=True)
        case "extra_forbidden":
            key = str(loc[-1])
            remedy = did_you_mean(key, _known_keys(model, loc[:-1]))
            return Problem(loc=loc, text=f"unknown key {_key_text(key)!r}; {remedy}", at_key=True)
        case "union_tag_not_found" if isinstance(detail["input"], Mapping):
            remedy = "add it, with hourly, daily, weekly or monthly, or give a cron expression as cron"
            return Problem(loc=(*loc, "type"), text=f"is missing; {remedy}", absent=True)
        case "union_tag_not_found":
            return Problem(loc=loc, text=_wrong_kind("a mapping", detail["input"], ""))
        case "union_tag_invalid":
            tag = str(detail["ctx"]["tag"])
            known = [_first_word(each) for each in _quoted_words(detail["ctx"]["expected_tags"])]
            return Problem(loc=(*loc, "type"), text=f"unknown type {tag[:_SHOWN]!r}; {did_you_mean(tag, known)}")
        case _:
            return Problem(loc=loc, text=_value_problem(detail), at_key=loc[-1:] == ("[key]",))


def _value_problem(detail: ErrorDetails) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "value_error":
        return str(context["error"])
    shown = _shown(detail["loc"], value)
    if kind in _EXPECTED:
        return _wrong_kind(_EXPECTED[kind], value, shown)
    if kind == "literal_error":
        return f"cannot be {shown}; {did_you_mean(str(value), _quoted_words(context['expected']))}"
    return _out_of_bounds(kind, context, shown) or f"{detail['msg']}; see docs/configuration.md"


def _out_of_bounds(kind: str, context: Mapping[str, object], shown: str) -> str | None:
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        return f"cannot be {shown}; use {word} {context[key]}"
    if kind in _LENGTHS:
        key, word, unit = _LENGTHS[kind]
        return f"has the wrong length; use {word} {context[key]} {unit}"
    return None


def _wrong_kind(expected: str, value: object, shown: str) -> str:
    if value is None:
        return f"is empty; give {expected}" + (", or [] for none" if expected == "a list" else "")
    if expected == "text" and isinstance(value, int | float):
        return f"must be text, not {shown}; quote it"
    if isinstance(value, dict | list) or expected in {"a mapping", "a list"}:
        remedy = "write it as [a, b]" if expected == "a list" else "check the indentation"
        return f"must be {expected}, not {_KINDS.get(type(value), 'this')}; {remedy}"
    return f"must be {expected}, not {shown}; change the value"


def _shown(loc: Loc, value: object) -> str:
    if any(word in str(part).lower() for part in loc for word in _SECRET_WORDS):
        return "what stands there"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)[:_SHOWN]
    return repr(_QUERY.sub("?***", _USERINFO.sub("***@", value))[:_SHOWN])


def _key_text(key: str) -> str:
    # Where a colon lacks its blank, `password:hunter2` is all key.
    return re.split(r"[:=@\s]", key, maxsplit=1)[0][:_SHOWN]


def _first_word(tag: str) -> str:
    # A tag is the `type` that selects it; a second word may keep it apart from a key of the same name.
    return tag.partition(" ")[0]


def _quoted_words(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _known_keys(model: type[BaseModel], loc: Loc) -> set[str]:
    """Return the keys that the models at `loc` know. A part of `loc` may name a member of a union by its `type`."""
    models = {model}
    for part in loc:
        fields = [field for each in models for name, field in each.model_fields.items() if part in {name, field.alias}]
        if fields:
            models = {found for field in fields for found in _models_in(field.annotation)}
        else:
            models = {each for each in models if _has_tag(each, part)} or models
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    field = model.model_fields.get("type")
    return field is not None and _first_word(str(tag)) in get_args(field.annotation)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
