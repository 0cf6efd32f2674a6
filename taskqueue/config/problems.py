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

from taskqueue.config.yaml_source import Document, Loc, scalar_value
from taskqueue.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

#: not the `url` of `hourly`
_SECRET_WORDS = re.compile(r"password|secret|token|headers|(?<![a-z])url|authorization|credential", re.IGNORECASE)
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
#: what a quoted scalar would be without its quotes
_WITHOUT_QUOTES = {"a whole number": ("int",), "a number": ("int", "float"), "true or false": ("bool",)}
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
#: by which one sees what sort of interval it is
_TYPE_KEYS = ("type", "cron")
#: how near another key must be to be one of these: `types` is, `time` is not
_CLOSE = 0.85
#: so many keys of an interval are looked at for that
_KEYS_READ = 20
#: what an interval has one of, and a cron expression any number
_ONE_OF = ("weekday", "day", "at_time")
_AN_INTERVAL = 'one, such as {type: daily, at_time: "08:00"} or {cron: "0 8 * * *"}'
#: what other schedulers call intervals, and what does it here
_OTHER_TYPES = {
    **dict.fromkeys(("minute", "minutes", "minutely"), 'use cron, such as "*/5 * * * *" for each fifth minute'),
    **dict.fromkeys(("year", "years", "yearly", "annually"), 'use cron, such as "0 8 1 7 *" for each first of July'),
    "once": "tasks that run once are made through the API; use hourly, daily, weekly, monthly or cron",
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
    near = _nearest(word, options)
    return f"did you mean {near!r}?" if near else f"known here: {', '.join(options)}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    options, word = sorted(known), word[:_SHOWN]
    near = get_close_matches(word.lower(), options, n=1) or get_close_matches(word.upper(), options, n=1)
    return near[0] if near else None


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
            return Problem(loc=loc, text=_unknown_key(loc, detail["input"], model), at_key=True)
        case "union_tag_not_found" if isinstance(detail["input"], Mapping):
            return _without_type(loc, detail["input"])
        case "union_tag_not_found":
            kind = _KINDS.get(type(detail["input"]))
            text = f"must be a mapping, not {kind}; write {_AN_INTERVAL}" if kind else f"is empty; give {_AN_INTERVAL}"
            return Problem(loc=loc, text=text)
        case "union_tag_invalid":
            return _unknown_type(loc, str(detail["ctx"]["tag"]), _quoted_words(detail["ctx"]["expected_tags"]))
        case _:
            return Problem(loc=loc, text=_value_problem(detail), at_key=loc[-1:] == ("[key]",))


def _without_type(loc: Loc, interval: Mapping[object, object]) -> Problem:
    for key in map(str, islice(interval, _KEYS_READ)):
        near = get_close_matches(key[:_SHOWN].lower(), _TYPE_KEYS, n=1, cutoff=_CLOSE)
        if near and key not in _TYPE_KEYS:
            text = f"unknown key {_key_text(key)!r}; did you mean {near[0]!r}?"
            return Problem(loc=(*loc, key), text=text, at_key=True)
    remedy = "hourly, daily, weekly or monthly, or give a cron expression as cron"
    if "type" in interval:
        return Problem(loc=(*loc, "type"), text=f"is empty; give {remedy}")
    return Problem(loc=(*loc, "type"), text=f"is missing; add it, with {remedy}", absent=True)


def _unknown_type(loc: Loc, tag: str, expected: Iterable[str]) -> Problem:
    remedy = _OTHER_TYPES.get(tag.lower()) or did_you_mean(tag, [_first_word(each) for each in expected])
    return Problem(loc=(*loc, "type"), text=f"unknown type {tag[:_SHOWN]!r}; {remedy}")


def _unknown_key(loc: Loc, value: object, model: type[BaseModel]) -> str:
    """Return what is wrong with the key at the end of `loc`; models may say it in their `foreign_keys`."""
    key, models = str(loc[-1]), _models_at(model, loc[:-1])
    if key[:1].isspace():
        return f"a key begins with U+{ord(key[0]):04X}, which is no blank to YAML; indent with plain spaces"
    known, unknown = _keys_of(models), f"unknown key {_key_text(key)!r}"
    foreign: dict[str, str] = {}
    for each in models:
        foreign |= getattr(each, "foreign_keys", {})
    if key in foreign:
        return foreign[key]
    if place := _place_of(key, models, loc, model):
        return f"{unknown} here; it belongs {place}"
    near = _nearest(key, known | foreign.keys())
    if near not in known and value is None:
        # The comma of an unquoted text ends it in {a: b, c}, and begins a key.
        comma = "where a comma belongs to the value before it, quote that"
        return f"{unknown}; known here: {', '.join(sorted(known))}; {comma}"
    if near in foreign:
        return f"{unknown}, for {near!r}: {foreign[near]}"
    return f"{unknown}; {did_you_mean(key, known)}"


def _place_of(key: str, models: set[type[BaseModel]], loc: Loc, model: type[BaseModel]) -> str | None:
    """Return where a key that is right but for its place belongs: into a mapping here, or beside one around here."""
    inner = {
        field.alias or name
        for each in models
        for name, field in each.model_fields.items()
        if key in _keys_of(_models_in(field.annotation))
    }
    if inner:
        return f"into {' or '.join(sorted(inner))}"
    for end in range(len(loc) - 2, -1, -1):
        if {key, loc[end]} <= _keys_of(_models_at(model, loc[:end])):
            return f"beside {loc[end]}"
    return None


def _value_problem(detail: ErrorDetails) -> str:
    kind, context, value, loc = detail["type"], detail.get("ctx", {}), detail["input"], detail["loc"]
    if isinstance(value, list) and "interval" in loc and loc[-1] in _ONE_OF:
        return "must be one, not a list; use a cron expression for several"
    if kind == "value_error":
        return str(context["error"])
    shown = _shown(loc, value)
    if kind in _EXPECTED:
        return _wrong_kind(_EXPECTED[kind], value, shown)
    if kind == "literal_error" and loc[-1] == "type":
        return f"cannot be {shown} where a cron expression stands; leave one of them out"
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
        remedy = "check the indentation"
        if expected == "a list":
            remedy = "begin each item with a dash" if isinstance(value, dict) else 'write it as ["a", "b"]'
        return f"must be {expected}, not {_KINDS.get(type(value), 'this')}; {remedy}"
    quoted = isinstance(value, str) and type(scalar_value(value)).__name__ in _WITHOUT_QUOTES.get(expected, ())
    return f"must be {expected}, not {shown}; {'write it without quotes' if quoted else 'change the value'}"


def _shown(loc: Loc, value: object) -> str:
    if any(_SECRET_WORDS.search(str(part)) for part in loc):
        return "what stands there"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
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


def _models_at(model: type[BaseModel], loc: Loc) -> set[type[BaseModel]]:
    """Return the models whose keys stand at `loc`. A part of it may name a member of a union by its `type`."""
    models = {model}
    for part in loc:
        fields = [field for each in models for name, field in each.model_fields.items() if part in {name, field.alias}]
        if fields:
            models = {found for field in fields for found in _models_in(field.annotation)}
        else:
            models = {each for each in models if _has_tag(each, part)} or models
    return models


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    field = model.model_fields.get("type")
    return field is not None and _first_word(str(tag)) in get_args(field.annotation)


def _keys_of(models: Iterable[type[BaseModel]]) -> set[str]:
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
