"""`taskqueue leader`: which scheduler plans and releases now."""

from __future__ import annotations

import asyncio

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, RedisConfig
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.output import Output, OutputFormat, chosen, print_record
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.store.connection import RedisStore
from taskqueue.store.fleet import Fleet, LeaseSeen

leader_app = typer.Typer(help="Show which scheduler leads.", no_args_is_help=True)


@leader_app.callback()
def leader() -> None:
    """Show which scheduler leads."""


@leader_app.command()
def show(config: RedisConfig = SCHEDULER_YAML, output: Output = None) -> None:
    """Show which scheduler leads and since when, how long its lease runs unless renewed, and who stands by.

    Exit 1 when nobody leads.
    """
    seen = asyncio.run(_look(load_scheduler_settings(config).redis))
    found = _as_dict(seen)
    if seen.leader is None and chosen(output) is OutputFormat.TABLE:
        found["leader"] = "nobody"
    print_record(found, output)
    if seen.leader is None:
        raise typer.Exit(ExitCode.FAILED)


async def _look(settings: RedisSettings) -> LeaseSeen:
    store = RedisStore(settings, client_name="taskqueue-leader-show")
    try:
        return await Fleet(store).lease()
    finally:
        await store.close()


def _as_dict(seen: LeaseSeen) -> dict[str, object]:
    return {
        "leader": seen.leader,
        "leading_since": seen.leading_since,
        "lease_remaining_s": None if seen.remaining is None else round(seen.remaining.total_seconds(), 1),
        "followers": seen.followers,
    }
