"""tasks.yaml becomes a catalog: every task type by id, with a revision that names this very content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from taskqueue.config.duration import format_duration
from taskqueue.config.models import CustomInterval, StoredTask, TasksFile, interval_of
from taskqueue.config.problems import Problem, Untold, in_document, plain_text, validate
from taskqueue.config.yaml_source import Document, parse_document, read_document
from taskqueue.core.instants import rfc3339
from taskqueue.core.occurrence import cohort_id
from taskqueue.core.reference import has_reference
from taskqueue.core.task import Interval, Target, Task
from taskqueue.errors import InvalidValueError

_PARAMETER = re.compile(r"[?&]([^=&]+)=([^&]+)")

#: parameters of a URL whose values are secrets in practice
_SECRET_PARAMETERS = frozenset({"access_token", "api_key", "apikey", "password", "secret", "sig", "signature", "token"})

#: headers whose values are secrets in practice
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The task types of one tasks.yaml. Equal content gives an equal `revision`, whatever its order and comments."""

    tasks: Mapping[str, Task]
    #: the first 16 hex digits of the SHA-256 of all tasks in their stored form, by id
    revision: str
    #: what works but is likely not meant, one line each
    warnings: tuple[str, ...] = ()


def load_catalog(path: Path) -> Catalog:
    """Return the catalog in the file at `path`. Raises ConfigError with the problems that it has."""
    return catalog_of(read_document(path))


def parse_catalog(text: str | bytes, name: str) -> Catalog:
    """Return the catalog in `text`; `name` stands in error texts. Raises ConfigError with the problems that it has."""
    return catalog_of(parse_document(text, name))


def catalog_of(document: Document) -> Catalog:
    """Return the catalog in `document`. Raises ConfigError with the problems that it has."""
    untold = Untold()
    entries = validate(
        lambda: TasksFile.model_validate(document.value, context=untold),
        TasksFile,
        partial(in_document, document),
        lambda: _duplicate_ids(document.value),
        untold,
    )
    tasks = {entry.id: entry.task() for entry in entries.tasks}
    problems = _questionable(document, list(tasks.values()))
    return Catalog(
        tasks=MappingProxyType(tasks),
        revision=_revision(tasks),
        warnings=tuple(in_document(document, problem).text for problem in problems),
    )


def catalog_of_tasks(tasks: Mapping[str, Task]) -> Catalog:
    """Return the catalog of these tasks, by id."""
    return Catalog(tasks=MappingProxyType(dict(tasks)), revision=_revision(tasks))


def task_to_json(task: Task) -> str:
    """Return `task` as JSON, shaped as in tasks.yaml, with its source. Equal tasks give equal text.

    Durations are rounded down to a millisecond, the least that tasks.yaml can say.
    """
    target: dict[str, object] = {
        "endpoint": task.target.endpoint,
        "method": task.target.method,
        "headers": dict(task.target.headers),
        "max_duration": _duration_text(task.target.max_duration),
    }
    if task.target.signing_secrets:
        # Absent is none: `null` might be a forgotten value, and requests would go out unsigned.
        target["signing_secrets"] = list(task.target.signing_secrets)
    entry = {
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "source": task.source.value,
        "interval": task.interval.as_dict(),
        "config": target,
        "timeout": _duration_text(task.timeout),
        "retries": task.retries,
        "retry_delay": _duration_text(task.retry_delay),
        "retry_unknown": task.retry_unknown,
        "priority": task.priority.name.lower(),
        "distribution_window": _duration_text(task.distribution_window),
        "enabled": task.enabled,
        "default_enabled": task.default_enabled,
        "catch_up": task.catch_up.value,
        "overlap": task.overlap.value,
        "max_concurrency": task.max_concurrency,
        "max_age": _duration_text(task.max_age),
        "start_at": _instant_text(task.start_at),
        "end_at": _instant_text(task.end_at),
    }
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def task_from_json(text: str | bytes) -> Task:
    """Return the task that `task_to_json` wrote. Raises InvalidValueError for anything that is not a task.

    Unknown fields are ignored: while an upgrade rolls out, a newer leader writes for older workers.
    """
    try:
        stored = json.loads(text)
        return StoredTask.model_validate(stored, extra="ignore").task()
    except ValidationError as error:
        raise InvalidValueError(f"stored task: {plain_text(error, StoredTask, stored)}") from None
    except (ValueError, RecursionError):
        raise InvalidValueError("stored task: not JSON") from None


def interval_from_dict(interval: Mapping[str, object]) -> Interval:
    """Return the interval of a user's `custom_interval`. Raises InvalidValueError where it is none.

    It is an interval of tasks.yaml, or what Go makes of the spec's TaskInterval: `"timezone": ""` and
    `"at_time": null` say nothing, and an `at_time` may be a whole RFC 3339 time, of which the clock time counts.
    """
    given = {key: value for key, value in interval.items() if value is not None and (key, value) != ("timezone", "")}
    holder = {"interval": given}
    try:
        return interval_of(CustomInterval.model_validate(holder).interval)
    except ValidationError as error:
        raise InvalidValueError(plain_text(error, CustomInterval, holder)) from None


def read_custom_interval(text: str) -> tuple[str, Interval] | str:
    """Return cohort and interval of a user's `custom_interval` as it stands in Redis, or what is wrong with it."""
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            return "not a JSON object"
        interval = interval_from_dict(value)
    except InvalidValueError as error:
        return str(error)
    except (ValueError, RecursionError):
        return "not JSON"
    return cohort_id(interval), interval


def _duration_text(duration: timedelta | None) -> str | None:
    return None if duration is None else format_duration(duration)


def _instant_text(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _revision(tasks: Mapping[str, Task]) -> str:
    content = "\n".join(task_to_json(tasks[task_id]) for task_id in sorted(tasks))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _duplicate_ids(value: object) -> Iterator[Problem]:
    """Yield a problem for each id that an earlier task has. `value` is what the file holds, valid or not."""
    entries = value.get("tasks") if isinstance(value, dict) else None
    seen = dict[str, int]()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        task_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(task_id, str):
            continue
        first = seen.setdefault(task_id, index)
        if first != index:
            text = f"the id of tasks[{first}]; use another, ids are unique"
            yield Problem(loc=("tasks", index, "id"), text=text)


def _questionable(document: Document, tasks: Sequence[Task]) -> Iterator[Problem]:
    if not tasks:
        yield Problem(loc=("tasks",), text="no tasks; nothing will run")
    if not document.ends_with_newline:
        yield Problem(loc=(), text="the last line does not end; check that the file is complete")
    for index, task in enumerate(tasks):
        loc = ("tasks", index, "config")
        longest = task.target.max_duration
        if task.timeout is not None and longest is not None and longest > task.timeout:
            text = f"longer than the timeout of {format_duration(task.timeout)}, which ends the call before"
            yield Problem(loc=(*loc, "max_duration"), text=text)
        for place in _literal_secrets(task.target):
            text = "a secret in the file; use ${env:NAME} or ${file:/path}"
            yield Problem(loc=(*loc, *place), text=text)


def _literal_secrets(target: Target) -> Iterator[tuple[str, ...]]:
    """Yield where in its mapping a target has a value that is a secret, by its name."""
    for name, value in target.headers.items():
        if name.lower() in _SECRET_HEADERS and not has_reference(value):
            yield "headers", name
    parameters = _PARAMETER.findall(target.endpoint)
    if any(name.lower() in _SECRET_PARAMETERS and "{" not in value for name, value in parameters):
        yield ("endpoint",)
