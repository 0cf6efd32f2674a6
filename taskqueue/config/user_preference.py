"""Preferences of a user as data of other programs become a UserPreference, or an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Never

from taskqueue.config.catalog import interval_from_dict
from taskqueue.config.problems import did_you_mean
from taskqueue.core.ids import check_task_id
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.preference import UserPreference
from taskqueue.errors import InvalidValueError

_FIELDS = ("user_id", "enabled_tasks", "task_settings", "last_modified")
_SETTINGS = ("custom_interval", "parameters")

#: what Go writes for a time.Time that was never set
_GO_ZERO_TIME = "0001-01-01T00:00:00Z"
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def preference_of(value: object) -> UserPreference:
    """Return the preferences in `value`, which has the form of the spec's UserPreference in JSON.

    A field that is null or missing states nothing; only `user_id` must be there. Raises InvalidValueError, with the
    path of the field, for a wrong type, an unknown field, an id that is none and an interval that is none.
    """
    fields = _known_fields(value, "", _FIELDS)
    if not isinstance(fields.get("user_id"), str):
        _refuse("user_id", "text", fields.get("user_id"))
    settings = {
        task_id: _known_fields(entry, f"task_settings.{task_id}", _SETTINGS)
        for task_id, entry in _by_task(fields, "task_settings").items()
    }
    return UserPreference(
        user_id=str(fields["user_id"]),
        enabled_tasks={
            task_id: _switch(entry, f"enabled_tasks.{task_id}")
            for task_id, entry in _by_task(fields, "enabled_tasks").items()
        },
        parameters={
            task_id: parameters_of(entry["parameters"], f"task_settings.{task_id}.parameters")
            for task_id, entry in settings.items()
            if entry.get("parameters") is not None
        },
        custom_intervals={
            task_id: custom_interval_of(entry["custom_interval"], f"task_settings.{task_id}.custom_interval")
            for task_id, entry in settings.items()
            if entry.get("custom_interval") is not None
        },
        last_modified=_instant(fields.get("last_modified")),
    )


def parameters_of(value: object, place: str) -> dict[str, str]:
    """Return `value` as parameters, which are text by name. Raises InvalidValueError that begins with `place`."""
    parameters = dict[str, str]()
    for name, text in _object(value, place).items():
        if not isinstance(text, str):
            _refuse(f"{place}.{name[:60]}", "text", text)
        parameters[name] = text
    return parameters


def custom_interval_of(value: object, place: str) -> Mapping[str, object]:
    """Return `value` when it is an interval of a user. Raises InvalidValueError that begins with `place`."""
    interval = _object(value, place)
    try:
        interval_from_dict(interval)
    except InvalidValueError as error:
        # The error's own path begins with the field that holds an interval in tasks.yaml.
        raise InvalidValueError(place + str(error).removeprefix("interval")) from None
    return interval


def _by_task(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    entries = _object({} if fields.get(name) is None else fields[name], name)
    for task_id in entries:
        try:
            check_task_id(task_id)
        except InvalidValueError as error:
            raise InvalidValueError(f"{name}: {error}") from None
    return entries


def _known_fields(value: object, place: str, known: tuple[str, ...]) -> Mapping[str, object]:
    fields = _object(value, place)
    for name in fields:
        if name not in known:
            path = f"{place}: " if place else ""
            raise InvalidValueError(f"{path}unknown field {name[:60]!r}; {did_you_mean(name, known)}")
    return fields


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        _refuse(place, "an object", value)
    return value


def _switch(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        _refuse(place, "true or false", value)
    return value


def _instant(value: object) -> datetime | None:
    if value in (None, _GO_ZERO_TIME):
        return None
    if not isinstance(value, str):
        _refuse("last_modified", "text", value)
    try:
        return parse_rfc3339(value)
    except InvalidValueError as error:
        raise InvalidValueError(f"last_modified: {error}") from None


def _refuse(place: str, expected: str, value: object) -> Never:
    # The value itself is not shown: parameters may be anything, secrets included.
    found = "missing or null" if value is None else _KINDS.get(type(value), "of another kind")
    raise InvalidValueError(f"{place or 'the value'} is {found}; give {expected}")
