"""`taskqueue config`: look at configuration files before a process does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.config.catalog import Catalog, catalog_of, load_catalog
from taskqueue.config.settings import api_settings_of, scheduler_settings_of, worker_settings_of
from taskqueue.config.yaml_source import Document, read_document
from taskqueue.errors import ConfigError

config_app = typer.Typer(help="Check configuration files.", no_args_is_help=True)

#: a bad configuration, here as in every process
EXIT_BAD_CONFIG = 2


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
) -> None:
    """Check files as the processes would read them here, environment included; exit 2 when one cannot be used.

    scheduler.yaml is checked together with the tasks file that it names.
    """
    good = [_check(path, kind) for path in paths]
    if not all(good):
        raise typer.Exit(EXIT_BAD_CONFIG)


def _check(path: Path, kind: Kind | None) -> bool:
    try:
        document = read_document(path)
        summary, warnings = _summary(document, path, kind or _kind_of(document))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        return False
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"ok: {path}{summary}")
    return True


def _summary(document: Document, path: Path, kind: Kind) -> tuple[str, tuple[str, ...]]:
    """Return what is in the document, to be printed behind its name, and what looks odd in it."""
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
