"""`taskqueue limits`: what holds jobs back now, and limits that hold for a while over those of worker.yaml."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Annotated

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.config_options import SCHEDULER_YAML, RedisAndTasksConfig, RedisConfig
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.output import Answer, Output, OutputFormat, chosen, print_answer, print_data
from taskqueue.cli.tables import print_table
from taskqueue.cli.tasks_in_force import warn_of_unknown_task
from taskqueue.config.duration import format_duration, parse_duration
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.host_limit import HostReport, over_all_workers
from taskqueue.core.ids import check_task_id
from taskqueue.core.instants import from_unix_ms, rfc3339
from taskqueue.core.waiting import GLOBAL, host_limit, limited_host, limited_task, task_limit
from taskqueue.errors import ConfigError, InvalidValueError
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import WAITING_KEPT, DelayedStore
from taskqueue.store.hosts import HostReports, HostStore
from taskqueue.store.limit_overrides import LimitOverrides, Override, overridden
from taskqueue.store.limits import Bucket, Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts

limits_app = typer.Typer(help="Show what holds jobs back; set limits for a while.", no_args_is_help=True)

#: the longest that a limit of 0 may hold: a job that waits in Redis is kept for 30 days, and then it is gone without an
#: end. A day is left for what waited before, and for the backlog to go out.
_LONGEST_STOP = WAITING_KEPT - timedelta(days=1)

Name = Annotated[str, typer.Argument(metavar="NAME", help="global, task:ID, or just the id of a task.")]


@limits_app.callback()
def limits() -> None:
    """Show what holds jobs back; set limits for a while."""


# --- set and clear ----------------------------------------------------------------------------------------------------


@limits_app.command("set")
def set_limit(
    name: Name,
    rate: Annotated[
        float, typer.Argument(metavar="RATE", help="Jobs per second over all workers; 0 lets nothing start.")
    ],
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long it holds, such as 30m or 1h.")],
    burst: Annotated[
        float | None, typer.Option(help="Jobs at once; a second's worth when left out.", show_default=False)
    ] = None,
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    output: Answer = None,
) -> None:
    """Let a limit hold for a while instead of the one of worker.yaml. Workers and the leader follow within 2 s.

    Jobs beyond it wait and do not fail, unless they become older than their task's max_age. Redis keeps a waiting job
    for 30 days, so a rate of 0 may hold for 29; to stop a task for longer, disable it.
    """
    limit_name, limit, duration = _named(name), _limit(rate, burst), _duration(lasting)
    if limit.rate == 0 and duration > _LONGEST_STOP:
        longest = format_duration(_LONGEST_STOP)
        raise ConfigError(f"--for {lasting}: use {longest} at most with a rate of 0, or disable the task in tasks.yaml")
    settings = load_scheduler_settings(config)
    if (task_id := limited_task(limit_name)) is not None:
        warn_of_unknown_task(task_id, settings)
    until = asyncio.run(_set(settings.redis, limit_name, limit, duration))
    print_answer(
        f"{limit_name}: {_shown_limit(limit)} until {rfc3339(until)}",
        {"name": limit_name, **asdict(limit), "until": until},
        output,
    )


@limits_app.command()
def clear(
    name: Name,
    *,
    config: RedisConfig = SCHEDULER_YAML,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Answer = None,
) -> None:
    """Let the limit of worker.yaml hold again at once."""
    limit_name = _named(name)
    settings = load_scheduler_settings(config)
    if not agreed(f"let the limit of worker.yaml hold again for {limit_name}", yes=yes, dry_run=dry_run):
        return
    was_set = asyncio.run(_clear(settings.redis, limit_name))
    print_answer(
        f"{limit_name}: {'the limit of worker.yaml holds again' if was_set else 'nothing was set'}",
        {"name": limit_name, "was_set": was_set},
        output,
    )


def _named(name: str) -> str:
    """Return the name of the limit (core/waiting). Raises ConfigError for anything but `global` and a task."""
    if name == GLOBAL:
        return name
    try:
        return task_limit(check_task_id(name.removeprefix(task_limit(""))))
    except InvalidValueError as error:
        raise ConfigError(f"NAME: {error}") from None


def _limit(rate: float, burst: float | None) -> Limit:
    if not (isfinite(rate) and rate >= 0):
        raise ConfigError(f"RATE {rate}: use jobs per second, 0 or more")
    if burst is not None and not (isfinite(burst) and burst >= 1):
        raise ConfigError(f"--burst {burst}: use 1 job or more")
    return Limit(rate=rate, burst=max(1.0, rate) if burst is None else burst)


def _duration(text: str) -> timedelta:
    try:
        duration = parse_duration(text)
    except InvalidValueError as error:
        raise ConfigError(f"--for: {error}") from None
    if not duration:
        raise ConfigError("--for 0s: use a duration above zero, or taskqueue limits clear")
    return duration


async def _set(settings: RedisSettings, name: str, limit: Limit, duration: timedelta) -> datetime:
    store = RedisStore(settings, client_name="taskqueue-limits-set")
    try:
        until = await _now(store) + duration
        await LimitOverrides(store, Scripts(store, asset_dir("lua"))).set(name, Override(limit=limit, until=until))
    finally:
        await store.close()
    return until


async def _clear(settings: RedisSettings, name: str) -> bool:
    store = RedisStore(settings, client_name="taskqueue-limits-clear")
    try:
        return await LimitOverrides(store, Scripts(store, asset_dir("lua"))).clear(name)
    finally:
        await store.close()


async def _now(store: RedisStore) -> datetime:
    """Return the present instant by the clock that workers and the leader go by."""
    clock = ServerClock(store)
    await clock.sync()
    return clock()


# --- show -------------------------------------------------------------------------------------------------------------


@limits_app.command()
def show(config: RedisConfig = SCHEDULER_YAML, output: Output = None) -> None:
    """Show the limits in force, how many jobs may start at once now, how many wait for each, and hosts in trouble."""
    found = asyncio.run(_look(load_scheduler_settings(config).redis))
    if chosen(output) is OutputFormat.TABLE:
        _print_tables(found)
    else:
        print_data(found.as_dict(), chosen(output))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What Redis says at `now`; `buckets` and `waiting` are by the name of the limit, `hosts` by host."""

    now: datetime
    told: Limits
    overrides: Mapping[str, Override]
    buckets: Mapping[str, Bucket]
    waiting: Mapping[str, int]
    hosts: HostReports

    def names(self) -> list[str]:
        """Return the limits that hold or that jobs wait for, but for those of hosts."""
        lists = (name for name in self.waiting if limited_host(name) is None)
        return sorted({*self.told.by_name(), *self.overrides, *lists})

    def in_force(self) -> Mapping[str, Limit]:
        return overridden(self.told, self.overrides).by_name()

    def level(self, name: str) -> float | None:
        """Return how many jobs may start at once now; None for a limit without a bucket."""
        limit = self.in_force().get(name)
        if limit is None:
            return None
        bucket = self.buckets.get(name)
        return limit.burst if bucket is None else bucket.level(limit, self.now.timestamp())

    def limit_rows(self) -> list[dict[str, object]]:
        """Return a JSON object for each limit."""
        told, in_force = self.told.by_name(), self.in_force()
        return [
            {
                "name": name,
                "worker_yaml": asdict(told[name]) if name in told else None,
                "override": _override_fields(self.overrides.get(name), self.now),
                "in_force": asdict(in_force[name]) if name in in_force else None,
                "tokens": self.level(name),
                "waiting": self.waiting.get(name, 0),
            }
            for name in self.names()
        ]

    def host_rows(self) -> list[dict[str, object]]:
        """Return a JSON object for each host that workers limit, or whose jobs wait."""
        lists = (host for name in self.waiting if (host := limited_host(name)) is not None)
        return [
            {"host": host, **_host_fields(self.hosts.get(host, {})), "waiting": self.waiting.get(host_limit(host), 0)}
            for host in sorted({*self.hosts, *lists})
        ]

    def as_dict(self) -> dict[str, object]:
        """Return everything as a JSON object; instants are RFC 3339 in UTC."""
        return {"now": rfc3339(self.now), "limits": self.limit_rows(), "hosts": self.host_rows()}


async def _look(settings: RedisSettings) -> _Found:
    store = RedisStore(settings, client_name="taskqueue-limits-show")
    try:
        scripts, now = Scripts(store, asset_dir("lua")), await _now(store)
        limits = LimitStore(store, scripts)
        told, overrides = await limits.read(), await LimitOverrides(store, scripts).read(now)
        return _Found(
            now=now,
            told=told,
            overrides=overrides,
            buckets=await limits.buckets(list(overridden(told, overrides).by_name())),
            waiting=await DelayedStore(store, scripts).waiting_counts(),
            hosts=await HostStore(store).read(now),
        )
    finally:
        await store.close()


def _override_fields(override: Override | None, now: datetime) -> dict[str, object] | None:
    if override is None:
        return None
    remaining_s = round((override.until - now).total_seconds(), 3)
    return {**asdict(override.limit), "until": rfc3339(override.until), "remaining_s": remaining_s}


def _host_fields(said: Mapping[str, HostReport]) -> dict[str, object]:
    if not said:
        return {"state": "open", "limit": None, "in_flight": None, "closed_until": None, "workers": 0}
    together = over_all_workers(said.values())
    closed = together.closed_until
    return {
        "state": "open" if closed is None else "closed",
        "limit": together.limit,
        "in_flight": together.in_flight,
        "closed_until": None if closed is None else rfc3339(from_unix_ms(round(closed * 1000))),
        "workers": len(said),
    }


def _print_tables(found: _Found) -> None:
    in_force = found.in_force()
    rows = [
        (
            name,
            _shown_limit(in_force.get(name)),
            _shown_override(found.overrides.get(name), found.told.by_name().get(name), found.now),
            "" if (level := found.level(name)) is None else f"{level:.1f}",
            str(found.waiting.get(name, 0)),
        )
        for name in found.names()
    ]
    print_table(("limit", "in force", "set for a while", "may start now", "waiting"), rows)
    if hosts := found.host_rows():
        headings = ("host", "state", "limit", "in_flight", "closed_until", "workers", "waiting")
        cells = [["" if row[key] is None else str(row[key]) for key in headings] for row in hosts]
        print_table([heading.replace("_", " ") for heading in headings], cells)


def _shown_limit(limit: Limit | None) -> str:
    return "" if limit is None else f"{limit.rate:g}/s, {limit.burst:g} at once"


def _shown_override(override: Override | None, told: Limit | None, now: datetime) -> str:
    if override is None:
        return ""
    rest = timedelta(seconds=int((override.until - now).total_seconds()))
    return f"for {format_duration(rest)} more, then {_shown_limit(told) or 'no limit'}"
