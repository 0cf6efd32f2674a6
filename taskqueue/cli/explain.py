"""`taskqueue explain`: why a task did or did not run for a user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.config_options import SCHEDULER_YAML, RedisConfig
from taskqueue.cli.output import Output, OutputFormat, cell, chosen, heading, print_data, print_records
from taskqueue.cli.tables import print_pairs
from taskqueue.cli.terminal import printable
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.explanation import Explanation
from taskqueue.core.ids import check_task_id, check_user_id
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.preference import Rule
from taskqueue.errors import ConfigError, InvalidValueError, NotFoundError
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.explain import Explainer, ExplainRefusal
from taskqueue.store.scripts import Scripts

_Record = Mapping[str, Any]


def explain(
    task: Annotated[str, typer.Option(metavar="ID", help="A task of tasks.yaml, or one made through the API.")],
    user: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Whose job; left out for a task made through the API.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Of the occurrence at or before this instant, RFC 3339; the latest that has come due when left out.",
            show_default=False,
        ),
    ] = None,
    config: RedisConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Explain why a task did or did not run: what was planned, what became of it, where it waits, and what to do.

    It reads Redis alone, and says the same as GET /api/v1/tasks/ID/explain. Manual triggers are no part of it: see
    taskqueue exec show. Exit 0 whatever the answer is, 3 when there is no such task.
    """
    instant = _checked(task, user, at)
    found = asyncio.run(_explain(load_scheduler_settings(config).redis, task, user, instant))
    match found:
        case ExplainRefusal.NO_SUCH_TASK:
            raise NotFoundError(f"--task {printable(task)}: no such task is in force; see taskqueue task list")
        case ExplainRefusal.USER_MISSING:
            raise ConfigError(f"--user: is missing; {printable(task)} is a task of tasks.yaml, which runs for users")
        case ExplainRefusal.NO_USERS:
            raise ConfigError(f"--user: {printable(task)} was made through the API and has no users; leave it out")
        case Explanation():
            _print(found.as_dict(), chosen(output))


def _checked(task: str, user: str | None, at: str | None) -> datetime | None:
    """Return the instant of --at. Raises ConfigError for what no task, no user and no instant is."""
    for option, check, text in (("--task", check_task_id, task), ("--user", check_user_id, user)):
        try:
            if text is not None:
                check(text)
        except InvalidValueError as error:
            raise ConfigError(f"{option}: {error}") from None
    try:
        return None if at is None else parse_rfc3339(at)
    except InvalidValueError as error:
        raise ConfigError(f"--at: {error}") from None


async def _explain(
    settings: RedisSettings, task: str, user: str | None, at: datetime | None
) -> Explanation | ExplainRefusal:
    store = RedisStore(settings, client_name="taskqueue-explain")
    try:
        clock = ServerClock(store)
        await clock.sync()
        return await Explainer(store, Scripts(store, asset_dir("lua"))).explain(task, user, at=at, now=clock())
    finally:
        await store.close()


# --- the view for people ----------------------------------------------------------------------------------------------

#: what a table leaves out of each part: it stands in the reasons, or below
_LEFT_OUT = {
    "task": ("start_at", "end_at", "max_age_seconds", "catch_up"),
    "preference": ("problem",),
    "occurrence": (),
    "job": ("waits", "attempts", "limits"),
}
#: what says something where it is not so
_ALWAYS_SHOWN = frozenset({"enabled", "switch"})
_ATTEMPT_FIELDS = ("attempt", "started_at", "duration_ms", "outcome", "http_status", "error_code", "worker_id")


def _print(found: _Record, output: OutputFormat) -> None:
    if output is not OutputFormat.TABLE:
        print_data(found, output)
        return
    _print_reasons(found["reasons"])
    shown = {**found, "preference": _with_default(found["preference"])}
    for part, left_out in _LEFT_OUT.items():
        _print_part(part, shown[part], left_out)
    job = found["job"] or {}
    for name, fields in (("waits", ()), ("attempts", _ATTEMPT_FIELDS), ("limits", ())):
        _print_list(f"job: {name}", job.get(name, ()), fields)
    _print_list("dependencies", found["dependencies"])
    following = found["next"]
    typer.echo(f"\nnext: {following['scheduled_at'] or 'never'}")
    _print_reasons(following["reasons"])


def _with_default(preference: _Record | None) -> _Record | None:
    """Return it with what the task's `default_enabled` is, where that rule decides."""
    if preference is None or preference["rule"] != Rule.DEFAULT_ENABLED:
        return preference
    return {**preference, "rule": f"{preference['rule']} ({'on' if preference['enabled'] else 'off'})"}


def _print_reasons(reasons: Sequence[_Record]) -> None:
    for reason in reasons:
        typer.echo(printable(f"{reason['code']}: {reason['message']}"))
        if reason["remedy"]:
            typer.echo(printable(f"  -> {reason['remedy']}"))


def _print_part(name: str, record: _Record | None, left_out: Sequence[str]) -> None:
    if record is None:
        return
    shown = {
        field: value
        for field, value in record.items()
        if (value is not None and value is not False) or field in _ALWAYS_SHOWN
    }
    typer.echo(f"\n{name}")
    print_pairs([(f"  {heading(field)}", _shown(value)) for field, value in shown.items() if field not in left_out])


def _shown(value: object) -> str:
    if isinstance(value, Mapping) and "planned_at" in value:
        about = "" if value["exact"] else f", or {value['margin_ms'] / 1000:g} s to either side"
        return f"{value['number']}, due at {value['planned_at']}{about}"
    return cell(value)


def _print_list(name: str, records: Sequence[_Record], fields: Sequence[str] = ()) -> None:
    if records:
        typer.echo(f"\n{name}")
        print_records(records, OutputFormat.TABLE, fields=fields)
