"""`taskqueue plan`: what a new tasks.yaml would change, and what would come of it, before any scheduler reads it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, PlanConfig
from taskqueue.cli.output import Output, OutputFormat, chosen, print_data
from taskqueue.cli.plan_report import PlanReport, make_report
from taskqueue.cli.plan_running import Running, read_running
from taskqueue.cli.plan_view import print_report, report_data
from taskqueue.cli.progress import progress
from taskqueue.cli.terminal import printable
from taskqueue.config.catalog import Catalog, load_catalog
from taskqueue.config.settings import SchedulerSettings, load_scheduler_settings
from taskqueue.core.clock_changes import YEAR
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.task import Removed
from taskqueue.core.zones import FIRST_INSTANT, LAST_INSTANT
from taskqueue.errors import ConfigError, InvalidValueError, RefusedError, StoreUnavailableError
from taskqueue.runtime import utc_now
from taskqueue.scheduler.planner import PlanDefaults


def plan(
    new: Annotated[Path, typer.Argument(metavar="NEW.yaml", help="The tasks file that is to be.")],
    config: PlanConfig = SCHEDULER_YAML,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Look ahead from then, RFC 3339; from now when left out.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask Redis: compare with nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Exit 0 even where something cannot work.")] = False,
    output: Output = None,
) -> None:
    """Compare a tasks file with what runs, and look a day ahead: changes, users, occurrences, calls per second.

    Nothing is changed. Exit 4 where jobs cannot leave within their window under the limits that apply, or a scheduler
    would refuse the file; 2 for a file with mistakes, which are all listed; 5 when Redis does not answer.
    """
    begins = None if at is None else _instant(at)
    catalog = load_catalog(new)
    settings = load_scheduler_settings(config)
    report = _report(catalog, settings, begins, offline=offline)
    for warning in catalog.warnings:
        typer.echo(f"warning: {warning}", err=True)
    found = chosen(output)
    if found is OutputFormat.TABLE:
        print_report(report, new.name)
    else:
        print_data({"file": new.name, **report_data(report)}, found)
    if report.refused and not force:
        raise RefusedError(f"{printable(new.name)}: refused for the findings above; mend them, or add --force")


def _instant(text: str) -> datetime:
    try:
        instant = parse_rfc3339(text)
    except InvalidValueError as error:
        raise ConfigError(f"--at: {error}") from None
    if not FIRST_INSTANT <= instant <= LAST_INSTANT - YEAR:
        last = f"{LAST_INSTANT - YEAR:%Y}"
        raise ConfigError(
            f"--at: time {rfc3339(instant)!r}: out of range; use a year from {FIRST_INSTANT:%Y} to {last}"
        )
    return instant


def _report(catalog: Catalog, settings: SchedulerSettings, at: datetime | None, *, offline: bool) -> PlanReport:
    section = settings.scheduler
    defaults = PlanDefaults(
        distribution_window=section.distribution_window,
        batch_size=section.batch_size,
        removed=Removed(settings.tasks.removed),
    )
    running = Running(now=utc_now()) if offline else _running(catalog, settings)
    begins = at or running.now.replace(microsecond=0)
    steps = sum(map(running.most_schedules, catalog.tasks.values()))
    with progress("looking ahead", steps) as advance:
        return make_report(
            catalog,
            running,
            defaults,
            at=begins,
            allow_mass_delete=settings.tasks.allow_mass_delete,
            advance=advance,
        )


def _running(catalog: Catalog, settings: SchedulerSettings) -> Running:
    try:
        with progress("reading preferences", None) as advance:
            return asyncio.run(read_running(settings.redis, catalog.tasks, advance))
    except StoreUnavailableError as error:
        # The remedy that every verb names follows on the text.
        raise StoreUnavailableError(f"nothing to compare with, which only --offline does without: {error}") from None
