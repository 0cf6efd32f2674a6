"""What a new tasks.yaml changes in the task types that are in force, and when that is too much at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from taskqueue.core.reference import REFERENCE, has_reference, is_reference

#: fields whose values may be secrets: of those only the places are shown
_HEADERS = "config.headers."
_ENDPOINT = "config.endpoint"

_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
#: scheme and host, as far as the path
_ORIGIN = re.compile(rf"(?:[A-Za-z]+://)?(?:{REFERENCE.pattern}|[^/?#])*", re.ASCII)
_USER_INFO = re.compile(r"(?<=://).*@")
#: what stays of a path as it is, and the pieces between
_PATH_PIECE = re.compile(rf"{REFERENCE.pattern}|{_PLACEHOLDER.pattern}|[^/{{}}]+", re.ASCII)
#: pieces of a path that say what it is; a token that opens it has digits among its letters, or more of either
_WORDS = re.compile(r"(?:(?:[A-Za-z]{0,16}[0-9]{0,2}|[0-9]{0,4})(?:[-_.~]|$))+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field of a task type, named as in tasks.yaml (`interval.at_time`); None is no value. No value is a secret."""

    field: str
    before: object
    after: object


def changed_fields(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[FieldChange, ...]:
    """Return how two definitions of a task type, in their stored form, differ, by the names of the fields."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return tuple(
        FieldChange(field=name, before=_shown(name, old.get(name)), after=_shown(name, new.get(name)))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def mass_delete(known: Set[str], present: Set[str]) -> str | None:
    """Return why a file with the `present` tasks must not follow on the `known` ones; None where it may.

    It is likely cut off, or another file, where more than half are gone; of a single one the name may have changed.
    """
    removed = known - present
    renamed = len(known) == 1 and len(present) > 0
    if renamed or len(removed) * 2 <= len(known):
        return None
    return (
        f"{len(removed)} of {len(known)} tasks are gone from the file; if that is meant, take "
        "out at most half at a time, or set tasks.allow_mass_delete: true for all schedulers, restart them all, "
        "and take the setting out afterwards"
    )


def _leaves(value: Mapping[str, object], place: str = "") -> Iterator[tuple[str, object]]:
    for name, each in value.items():
        if isinstance(each, Mapping):
            yield from _leaves(each, f"{place}{name}.")
        else:
            yield f"{place}{name}", each


def _shown(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name.startswith(_HEADERS):
        return value if is_reference(value) else "(a value that is not shown)"
    return _without_secrets(value) if name == _ENDPOINT else value


def _without_secrets(endpoint: str) -> str:
    """Return a URL without what may open it: the user before its host, tokens in its path, the values in its query.

    References and placeholders stay.
    """
    match = _ORIGIN.match(endpoint)
    origin = "" if match is None else match[0]
    path, mark, query = endpoint[len(origin) :].partition("?")
    shown = _PATH_PIECE.sub(lambda piece: _shown_piece(piece[0]), path)
    return _USER_INFO.sub("...@", origin) + shown + mark + "&".join(map(_shown_parameter, query.split("&")))


def _shown_piece(text: str) -> str:
    return text if _stands_for_another(text) or _WORDS.fullmatch(text) else "..."


def _shown_parameter(text: str) -> str:
    # A piece without a name is as likely to be a token as a switch.
    name, mark, value = text.partition("=") if "=" in text else ("", "", text)
    return name + mark + (value if not value or _stands_for_another(value) else "...")


def _stands_for_another(text: str) -> bool:
    return has_reference(text) or _PLACEHOLDER.fullmatch(text) is not None
