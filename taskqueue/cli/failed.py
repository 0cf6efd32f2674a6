"""`taskqueue failed`: what is in `taskqueue.jobs.failed` and why; here the group and the verbs that only look."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import typer

from taskqueue.broker.failed_browser import HeldMessage
from taskqueue.cli.config_options import SCHEDULER_YAML, RabbitMQConfig
from taskqueue.cli.failed_changes import drop, replay
from taskqueue.cli.failed_filters import Filters, filtered
from taskqueue.cli.failed_queue import Take, failed_queue, look_through
from taskqueue.cli.failed_view import full_view, groups_as_dict, print_failures, print_groups
from taskqueue.cli.output import Output, OutputFormat, chosen, print_data, print_line, print_record
from taskqueue.config.sections import QueueSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.failures import Choice, Failure, FailureGroups
from taskqueue.errors import NotFoundError

failed_app = typer.Typer(help="Jobs that failed for good: look, replay, drop.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="The same as -o json.")]

_LISTED = 20
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@failed_app.callback()
def failed() -> None:
    """Jobs that failed for good: look, replay, drop."""


@failed_app.command()
@filtered
def stats(
    filters: Filters, *, config: RabbitMQConfig = SCHEDULER_YAML, as_json: AsJson = False, output: Output = None
) -> None:
    """Count failures by task, host and kind of error: how many, from when to when, and one of each."""
    groups = asyncio.run(_count(load_scheduler_settings(config).queue, filters.choice()))
    found = chosen(output, as_json=as_json)
    if found is OutputFormat.TABLE:
        print_groups(groups)
    else:
        print_data(groups_as_dict(groups), found)


@failed_app.command("list")
@filtered
def list_failures(
    filters: Filters,
    *,
    config: RabbitMQConfig = SCHEDULER_YAML,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first, instead of the newest.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many; 20 on a terminal, else all.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """List failures: in a table, or one JSON object on each line."""
    shown = chosen(output, as_json=as_json)
    lines = shown is not OutputFormat.TABLE
    found = _Newest(limit=limit if lines else limit or _LISTED, oldest=oldest)

    async def print_at_once(_held: HeldMessage, failure: Failure) -> None:
        print_line(failure.as_dict(), shown)

    take = print_at_once if lines and limit is None and not oldest else found.take
    asyncio.run(_look(load_scheduler_settings(config).queue, filters.choice(), take))
    if lines:
        for failure in found.in_order():
            print_line(failure.as_dict(), shown)
    else:
        print_failures(found.in_order(), found.seen)


@failed_app.command()
def show(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    config: RabbitMQConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Show all that is known about the failures of one job, its payload included.

    Exit 3 when the failed queue holds none of it.
    """
    found: list[dict[str, object]] = []

    async def take(held: HeldMessage, failure: Failure) -> None:
        found.append(full_view(held.message, failure))

    asyncio.run(_look(load_scheduler_settings(config).queue, Choice(jobs={job}), take))
    for view in found:
        print_record(view, output)
    if not found:
        raise NotFoundError(
            "the failed queue holds no message of this job; taskqueue exec show says what is known of it"
        )


failed_app.command()(filtered(replay))
failed_app.command()(filtered(drop))


@dataclass(slots=True, kw_only=True)
class _Newest:
    """Keeps the `limit` newest failures, or the oldest; all of them where `limit` is None."""

    limit: int | None
    oldest: bool
    seen: int = 0
    #: a heap by age, the first to go at its head
    kept: list[tuple[float, int, Failure]] = field(default_factory=list)

    async def take(self, _held: HeldMessage, failure: Failure) -> None:
        self.seen += 1
        since = ((failure.failed_at or _LONG_AGO) - _LONG_AGO).total_seconds()
        listed = failure.without_message()
        entry = (-since, -self.seen, listed) if self.oldest else (since, self.seen, listed)
        heapq.heappush(self.kept, entry)
        if self.limit is not None and len(self.kept) > self.limit:
            heapq.heappop(self.kept)

    def in_order(self) -> list[Failure]:
        """Return them, the first to be shown first."""
        return [failure for _, _, failure in sorted(self.kept, key=lambda entry: entry[:2], reverse=True)]


async def _count(settings: QueueSettings, choice: Choice) -> FailureGroups:
    groups = FailureGroups()

    async def take(_held: HeldMessage, failure: Failure) -> None:
        groups.add(failure)

    await _look(settings, choice, take)
    return groups


async def _look(settings: QueueSettings, choice: Choice, take: Take) -> None:
    async with failed_queue(settings) as browser:
        await look_through(browser, choice, take)
