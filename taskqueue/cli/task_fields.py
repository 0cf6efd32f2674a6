"""The fields of a task of the API, from options and from a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from taskqueue.cli.terminal import printable
from taskqueue.config.strict_json import parse_strict_json
from taskqueue.config.yaml_source import MAX_BYTES, parse_document, read_document
from taskqueue.core.api_task import ApiPriority
from taskqueue.core.task import TaskSource
from taskqueue.errors import ConfigError, InvalidValueError, RefusedError

_STDIN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFields:
    """What the command line says of a task; what is None is left as it is, or to the API."""

    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="JSON or YAML with the API's fields; - is standard input."),
    ] = None
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None
    cron: Annotated[str | None, typer.Option(metavar="EXPR", help="When it runs, such as '0 8 * * 1-5'.")] = None
    run_at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="It runs once, then; RFC 3339.")] = None
    interval: Annotated[
        str | None, typer.Option(metavar="JSON", help="""Such as '{"type": "daily", "at_time": "08:00"}'.""")
    ] = None
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Whose clock counts; UTC when left out.")] = None
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="What it calls.")] = None
    task_type: Annotated[
        str | None, typer.Option("--task-type-id", metavar="ID", help="It calls what this task of tasks.yaml calls.")
    ] = None
    payload: Annotated[str | None, typer.Option(metavar="JSON", help="What each call sends.")] = None
    priority: Annotated[ApiPriority | None, typer.Option(help="Which queue.")] = None
    timeout: Annotated[int | None, typer.Option(metavar="SECONDS", help="How long one attempt may take.")] = None
    max_retries: Annotated[int | None, typer.Option(metavar="COUNT", help="Tries after the first.")] = None
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY:VALUE", help="May be repeated.")] = None

    def body(self) -> dict[str, object]:
        """Return the body of the request: what the file says, and over it what the options say.

        An endpoint goes into the file's config, of which the rest stays.

        Raises ConfigError for what cannot be read, and where there is nothing at all.
        """
        body = {**(_read(self.file) if self.file is not None else {}), **self._given()}
        if self.endpoint is not None:
            config = body.get("config")
            body["config"] = {**(config if isinstance(config, Mapping) else {}), "endpoint": self.endpoint}
        if not body:
            raise ConfigError("nothing is given; use options such as --cron, or -f FILE")
        return body

    def _given(self) -> dict[str, object]:
        given: dict[str, object] = {
            "task_name": self.name,
            **self._schedule(),
            "timezone": self.timezone,
            "task_type_id": self.task_type,
            "priority": self.priority,
            "timeout_seconds": self.timeout,
            "max_retries": self.max_retries,
            "tags": _tags(self.tag) if self.tag else None,
        }
        given = {name: value for name, value in given.items() if value is not None}
        return given if self.payload is None else {**given, "payload": _object("--payload", self.payload)}

    def _schedule(self) -> dict[str, object]:
        interval = None if self.interval is None else _object("--interval", self.interval)
        found: dict[str, tuple[str, object]] = {
            "cron": ("schedule_expression", self.cron),
            "one_time": ("next_execution_time", self.run_at),
            "interval": ("interval", interval),
        }
        named = {kind: field for kind, field in found.items() if field[1] is not None}
        if len(named) > 1:
            raise ConfigError("--cron, --at and --interval: more than one is given; a task has one schedule")
        return {name: value for kind, field in named.items() for name, value in (("task_type", kind), field)}


def with_endpoint(task: Mapping[str, Any], endpoint: str) -> dict[str, object]:
    """Return the config of a task, as the API shows it, with another endpoint.

    Raises RefusedError where its headers would be lost, whose values the API hides.
    """
    config = task["config"]
    if config["headers"] and task["source"] == TaskSource.API:
        names = printable(", ".join(config["headers"]))
        remedy = "give the whole config in a file with -f"
        raise RefusedError(
            f"--endpoint: the task sends headers ({names}), whose values the API does not tell; {remedy}"
        )
    shown = {name: config[name] for name in ("method", "max_duration") if config[name] is not None}
    return {**shown, "endpoint": endpoint}


def _read(file: str) -> dict[str, object]:
    """Return the object in a file, which is JSON or YAML: JSON is YAML, as far as values go."""
    if file == _STDIN:
        document = parse_document(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
    else:
        document = read_document(Path(file))
    if not isinstance(document.value, dict):
        raise ConfigError(f"{document.name}:1:1: not an object; write the fields of one task")
    return document.value


def _object(option: str, text: str) -> Mapping[str, object]:
    try:
        value = parse_strict_json(text)
    except InvalidValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f'{option}: not an object; use JSON such as \'{{"name": "value"}}\'')
    return value


def _tags(texts: Sequence[str]) -> dict[str, str]:
    tags = dict[str, str]()
    for text in texts:
        key, colon, value = text.partition(":")
        if not colon:
            raise ConfigError(f"--tag {text[:60]}: has no colon; use KEY:VALUE")
        tags[key] = value
    return tags
