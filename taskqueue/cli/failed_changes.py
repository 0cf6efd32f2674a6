"""`taskqueue failed replay` and `drop`: the verbs that take messages out of the failed queue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.assets import asset_dir
from taskqueue.broker.failed_browser import FailedBrowser, HeldMessage
from taskqueue.cli.config_options import SCHEDULER_YAML, RabbitMQConfig, ServicesConfig
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.failed_backup import Backup
from taskqueue.cli.failed_filters import Filters
from taskqueue.cli.failed_queue import failed_queue, look_through
from taskqueue.cli.failed_tally import SETTLED, Tally
from taskqueue.cli.failed_view import groups_as_dict, print_groups
from taskqueue.cli.output import Answer, OutputFormat, print_answer
from taskqueue.config.duration import format_duration, parse_duration
from taskqueue.config.sections import QueueSettings
from taskqueue.config.settings import SchedulerSettings, load_scheduler_settings
from taskqueue.core.failures import Choice, Failure, FailureGroups
from taskqueue.errors import ConfigError, DamagedKeyError, InvalidValueError
from taskqueue.runtime import Now
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.replays import Replays
from taskqueue.store.scripts import Scripts

#: messages that are dealt with side by side: as many, and as large, as one answer of Redis or one write may be for
_BATCH, _BATCH_BYTES = 100, 16 * 1024 * 1024

_SHORT = (
    "not all were there: somebody else holds or has taken messages of the failed queue; when they are done, do it again"
)

Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the first in the queue.", show_default=False)]


def replay(
    filters: Filters,
    *,
    over: Annotated[
        str, typer.Option(metavar="DURATION", help="Spread them evenly over this long; else as fast as limits allow.")
    ] = "0s",
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: ServicesConfig = SCHEDULER_YAML,
    output: Answer = None,
) -> None:
    """Run failed jobs again, with the same Idempotency-Key; limits and switches hold as for any job.

    A job that has become something else since is left as it is, with its message. Interrupted, just do it again: no
    failure is replayed twice.

    Exit 1 when a message could not be replayed and stays, or somebody else holds some.
    """
    spread = _duration(over)
    settings = load_scheduler_settings(config)
    order = _Order(choice=filters.choice(), limit=limit)
    if spread or dry_run or not yes:
        order = _counted(order, settings.queue)
    pace = f" over {format_duration(spread)}" if spread else ""
    tally = Tally()
    asking = _Asking(verb="replay", how=pace, nothing=tally.as_dict(), output=output)
    if not _agreed(order, asking, dry_run=dry_run, yes=yes):
        return
    try:
        short = asyncio.run(_replay(settings, order, spread, tally))
    finally:
        # Also of what was interrupted: those are replayed.
        print_answer(str(tally), tally.as_dict(), output)
    _end(short=short, left=tally.left)


def drop(
    filters: Filters,
    *,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them there first, as JSON lines; a new file.")
    ] = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: RabbitMQConfig = SCHEDULER_YAML,
    output: Answer = None,
) -> None:
    """Remove messages from the failed queue for good.

    Exit 1 when somebody else holds some, 2 also when the file cannot be written.
    """
    settings = load_scheduler_settings(config)
    order = _Order(choice=filters.choice(), limit=limit)
    if dry_run or not yes:
        order = _counted(order, settings.queue)
    asking = _Asking(verb="drop", how="", nothing=_Dropped().as_dict(), output=output)
    if not _agreed(order, asking, dry_run=dry_run, yes=yes):
        return
    dropped = _Dropped(saved_in=save)
    try:
        short = asyncio.run(_drop(settings.queue, order, dropped))
    except BaseException:
        # Which of the last ones RabbitMQ has heard of, nobody knows.
        if dropped.count:
            print_answer(dropped.at_most(), dropped.as_dict(), output)
        raise
    print_answer(str(dropped), dropped.as_dict(), output)
    _end(short=short)


def _end(*, short: bool, left: int = 0) -> None:
    if short:
        typer.echo(_SHORT, err=True)
    if short or left:
        raise typer.Exit(ExitCode.FAILED)


# --- which, and whether -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """Which messages are meant: of `choice` the first `found`, until `limit` of them are dealt with.

    `found` is how many there were once the queue was looked through, `counted` the first `limit` of them, and `short`
    says that others held some; before that all is unknown.
    """

    choice: Choice
    limit: int | None
    found: int | None = None
    counted: FailureGroups | None = None
    short: bool = False


def _counted(order: _Order, settings: QueueSettings) -> _Order:
    """Look through the queue; return the order for those that are in it now, and for none that come later."""
    groups = FailureGroups()
    found = 0

    async def take(_held: HeldMessage, failure: Failure) -> None:
        nonlocal found
        found += 1
        if order.limit is None or groups.total < order.limit:
            groups.add(failure)

    async def count() -> bool:
        async with failed_queue(settings) as browser:
            await look_through(browser, order.choice, take)
            return browser.short

    short = asyncio.run(count())
    return replace(order, found=found, counted=groups, short=short)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """What is about to be done, and how that is told; `nothing` is the answer for programs when nothing is to be."""

    verb: str
    how: str
    nothing: Mapping[str, object]
    output: OutputFormat | None

    @property
    def for_people(self) -> bool:
        """Whether it is told in words and tables."""
        return self.output in {None, OutputFormat.TABLE}


def _agreed(order: _Order, asking: _Asking, *, dry_run: bool, yes: bool) -> bool:
    """Show what is meant and ask; return whether to go on. Raises RefusedError where nobody can be asked."""
    if order.counted is None:
        return True
    total = order.counted.total
    if asking.for_people and (dry_run or not yes):
        print_groups(order.counted)
    if dry_run or not total:
        text = f"would {asking.verb}{asking.how}: {total}" if dry_run else f"nothing to {asking.verb}{asking.how}"
        found = {f"would_{asking.verb}": total, "failures": groups_as_dict(order.counted)}
        print_answer(text, found if dry_run else asking.nothing, asking.output)
        _end(short=order.short)
        return False
    return agreed(f"{asking.verb}{asking.how}: {total}", yes=yes)


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except InvalidValueError as error:
        raise ConfigError(f"--over: {error}") from None


# --- replay -----------------------------------------------------------------------------------------------------------


async def _replay(settings: SchedulerSettings, order: _Order, spread: timedelta, tally: Tally) -> bool:
    """Replay what is meant; return whether there was less of it than was to be expected."""
    store = RedisStore(settings.redis, client_name="taskqueue-failed-replay")
    try:
        clock = ServerClock(store)
        await clock.sync()
        expected = 0 if order.counted is None else order.counted.total
        pace = _Pace(clock=clock, begin=clock(), spread=spread, count=expected)
        replays = Replays(Scripts(store, asset_dir("lua")))
        async with failed_queue(settings.queue, warn=order.counted is None) as browser:
            changer = _Replayer(browser, replays, pace, order, tally)
            await look_through(browser, order.choice, changer.take)
            await changer.flush()
            await browser.settled()
            return changer.short
    finally:
        await store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """When each of `count` jobs is due: evenly over `spread` from `begin` on, and never in the past."""

    clock: Now
    begin: datetime
    spread: timedelta
    count: int

    def due(self, number: int) -> datetime:
        """Return when job `number`, from 0, is due: beyond `count` in the places of those that were not replayed."""
        count = max(1, self.count)
        return max(self.clock(), self.begin + self.spread * (number % count) / count)


class _Replayer:
    """Replays what it takes, some side by side; acknowledges a message once its job waits in Redis, and no earlier."""

    def __init__(self, browser: FailedBrowser, replays: Replays, pace: _Pace, order: _Order, tally: Tally) -> None:
        self._browser = browser
        self._replays = replays
        self._pace = pace
        self._order = order
        self._tally = tally
        self._taken = 0
        self._batch: list[tuple[HeldMessage, Failure, datetime]] = []
        self._bytes = 0

    @property
    def short(self) -> bool:
        """Whether fewer messages came than were to be expected, and others may hold the rest."""
        found = self._order.found
        return self._room > 0 and (self._browser.short or (found is not None and self._taken < found))

    async def take(self, held: HeldMessage, failure: Failure) -> None:
        """Replay `failure` with the next batch, unless there were enough: what stays counts for no limit."""
        found = self._order.found
        if self._room <= 0 or (found is not None and self._taken >= found):
            return
        self._batch.append((held, failure, self._pace.due(self._taken)))
        self._taken += 1
        self._bytes += len(held.message.body)
        if len(self._batch) >= min(_BATCH, self._room) or self._bytes >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Replay what was taken. Raises StoreError and BrokerError once all of it has its answer."""
        batch, self._batch, self._bytes = self._batch, [], 0
        answers = await asyncio.gather(*(self._replay(*each) for each in batch), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    @property
    def _room(self) -> float:
        return inf if self._order.limit is None else self._order.limit - self._tally.settled

    async def _replay(self, held: HeldMessage, failure: Failure, due: datetime) -> None:
        if failure.message is None:
            self._tally.unreadable += 1
            return
        try:
            outcome = (await self._replays.replay(failure, due)).outcome
        except DamagedKeyError as error:
            # Of one job, most likely: it must not keep the others from their replay.
            self._tally.damaged[str(error)] += 1
            return
        self._tally.outcomes[outcome] += 1
        if outcome in SETTLED:
            await self._browser.ack(held)


# --- drop -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Dropped:
    """How many messages were dropped so far, and the file that has them."""

    count: int = 0
    saved_in: Path | None = None

    def __str__(self) -> str:
        """`dropped 3, saved in dropped.jsonl`."""
        return f"dropped {self.count}{self._saved}"

    def at_most(self) -> str:
        """Return what is known before RabbitMQ has confirmed it: `dropped up to 3, saved in dropped.jsonl`."""
        return f"dropped up to {self.count}{self._saved}"

    @property
    def _saved(self) -> str:
        return "" if self.saved_in is None else f", saved in {self.saved_in}"

    def as_dict(self) -> dict[str, object]:
        """Return it for programs."""
        return {"dropped": self.count, "saved_in": self.saved_in}


async def _drop(settings: QueueSettings, order: _Order, dropped: _Dropped) -> bool:
    """Remove what is meant, counting it; return whether there was less of it than was to be expected."""
    expected = order.limit if order.counted is None else order.counted.total
    with ExitStack() as stack:
        backup = None if dropped.saved_in is None else stack.enter_context(Backup.create(dropped.saved_in))
        async with failed_queue(settings, warn=order.counted is None) as browser:
            dropper = _Dropper(browser, backup, expected, dropped)
            await look_through(browser, order.choice, dropper.take)
            await dropper.flush()
            await browser.settled()
            missing = browser.short or (order.counted is not None and dropped.count < order.counted.total)
    return missing and (order.limit is None or dropped.count < order.limit)


class _Dropper:
    """Acknowledges what it takes, once the disk has it."""

    def __init__(self, browser: FailedBrowser, backup: Backup | None, most: int | None, dropped: _Dropped) -> None:
        self._browser = browser
        self._backup = backup
        self._most = most
        self._dropped = dropped
        self._batch: list[HeldMessage] = []
        self._bytes = 0

    async def take(self, held: HeldMessage, failure: Failure) -> None:
        """Drop the message with the next batch, unless there were enough."""
        if self._most is not None and self._dropped.count + len(self._batch) >= self._most:
            return
        if self._backup is not None:
            self._backup.write(held.message, failure)
        self._batch.append(held)
        self._bytes += len(held.message.body)
        if len(self._batch) >= _BATCH or self._bytes >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Drop what was taken."""
        if self._backup is not None:
            self._backup.sync()
        batch, self._batch, self._bytes = self._batch, [], 0
        for held in batch:
            await self._browser.ack(held)
            self._dropped.count += 1
