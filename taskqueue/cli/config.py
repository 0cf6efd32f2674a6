"""`taskqueue config`: look at configuration files before a process does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.output import Answer, OutputFormat, print_data
from taskqueue.config.catalog import Catalog, catalog_of, load_catalog
from taskqueue.config.settings import api_settings_of, scheduler_settings_of, worker_settings_of
from taskqueue.config.yaml_source import Document, read_document
from taskqueue.errors import ConfigError

config_app = typer.Typer(help="Check configuration files.", no_args_is_help=True)


class Kind(StrEnum):
    """Which of the configuration files."""

    SCHEDULER = "scheduler"
    WORKER = "worker"
    API = "api"
    TASKS = "tasks"


#: sections that only one kind of file has
_TELLING_KEYS = {
    Kind.TASKS: frozenset[str](),
    Kind.SCHEDULER: frozenset({"scheduler"}),
    Kind.WORKER: frozenset({"worker", "rate_limit", "execution"}),
    Kind.API: frozenset({"api"}),
}


@config_app.callback()
def config() -> None:
    """Check configuration files."""


@config_app.command()
def validate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="scheduler.yaml, worker.yaml, api.yaml or tasks.yaml")
    ],
    kind: Annotated[
        Kind | None, typer.Option(help="What the files are; told from their content when left out.")
    ] = None,
    output: Answer = None,
) -> None:
    """Check files as the processes would read them here, environment included; exit 2 when one cannot be used.

    Every mistake is named, with file, line and column; of more than 100 the first ones. scheduler.yaml is checked
    together with the tasks file that it names.
    """
    checks = [_check(path, kind) for path in paths]
    if output in {None, OutputFormat.TABLE}:
        for check in checks:
            check.tell()
    else:
        print_data({"files": [check.as_dict() for check in checks]}, output or OutputFormat.JSON)
    if any(check.problems for check in checks):
        raise typer.Exit(ExitCode.USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """What came out for one file; `summary` is to be printed behind its name."""

    path: Path
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    summary: str = ""

    def tell(self) -> None:
        """Print it for people: mistakes and warnings on standard error."""
        if self.problems:
            typer.echo("\n".join(self.problems), err=True)
            return
        for warning in self.warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"ok: {self.path}{self.summary}")

    def as_dict(self) -> dict[str, object]:
        """Return it for programs."""
        return {"file": self.path, "ok": not self.problems, "problems": self.problems, "warnings": self.warnings}


def _check(path: Path, kind: Kind | None) -> _Check:
    try:
        document = read_document(path)
        summary, warnings = _summary(document, path, kind or _kind_of(document))
    except ConfigError as error:
        return _Check(path=path, problems=error.lines)
    return _Check(path=path, warnings=warnings, summary=summary)


def _summary(document: Document, path: Path, kind: Kind) -> tuple[str, tuple[str, ...]]:
    """Return what is in the document, and what looks odd in it."""
    match kind:
        case Kind.TASKS:
            catalog = catalog_of(document)
            return f": {_count(catalog)}", catalog.warnings
        case Kind.SCHEDULER:
            config_file = scheduler_settings_of(document, path.parent).tasks.config_file
            catalog = load_catalog(config_file)
            return f": {config_file} has {_count(catalog)}", catalog.warnings
        case Kind.WORKER:
            worker_settings_of(document)
            return "", ()
        case Kind.API:
            api_settings_of(document)
            return "", ()


def _count(catalog: Catalog) -> str:
    return f"{len(catalog.tasks)} task" + ("" if len(catalog.tasks) == 1 else "s")


def _kind_of(document: Document) -> Kind:
    keys = set(document.value) if isinstance(document.value, dict) else set()
    if isinstance(document.value, dict) and isinstance(document.value.get("tasks"), list):
        return Kind.TASKS
    told = [kind for kind, telling in _TELLING_KEYS.items() if keys & telling]
    named = [kind for kind in Kind if kind.value in Path(document.name).name]
    for candidates in (told, named):
        if len(candidates) == 1:
            return candidates[0]
    raise ConfigError(f"{document.name}: neither content nor name tell what it is; say it with --kind")
