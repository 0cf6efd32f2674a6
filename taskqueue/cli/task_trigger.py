"""`taskqueue task trigger`: run a task now, over the API, and wait for the end where that is wanted."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from taskqueue.cli.api_client import ApiClient, ApiOptions, Body, path_of, with_api
from taskqueue.cli.api_request import KeyOption
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.option_groups import grouped
from taskqueue.cli.outage import answered
from taskqueue.cli.output import Answer, OutputFormat, print_answer, print_step
from taskqueue.cli.task_views import TaskId
from taskqueue.cli.terminal import printable
from taskqueue.config.duration import format_duration, parse_duration
from taskqueue.core.state import TERMINAL, Status
from taskqueue.errors import ConfigError, InvalidValueError, TaskqueueError

#: seconds between two looks: soon at first, for most runs are short
_FIRST_LOOK, _LONGEST_LOOK = 0.1, 2.0

_UNSEEN = "not seen to end, which `taskqueue exec logs -f ID` follows"


@grouped(ApiOptions, KeyOption)
def trigger(
    options: ApiOptions,
    key: KeyOption,
    task: TaskId,
    *,
    user: Annotated[
        list[str] | None, typer.Option(help="For a task of tasks.yaml, which runs for users; may be repeated.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 unless it is success.")] = False,
    within: Annotated[str, typer.Option(metavar="DURATION", help="The longest wait.")] = "10m",
    output: Answer = None,
) -> None:
    """Run a task now, beside its schedule and under the same limits.

    The answer has the id of the execution, for `taskqueue exec`; with several users one for each. With --wait the ids
    go to stderr first, and an API that is away for a while is asked again.
    """
    patience = _duration(within)
    once = key.once(f"taskqueue exec list {shlex.quote(task)}")

    async def ask(client: ApiClient) -> bool:
        body = {"user_ids": user} if user else None
        queued = await client.post(path_of("tasks", task, "trigger"), body, once)
        ids = queued.get("execution_ids") or [queued["execution_id"]]
        if not wait:
            print_answer("\n".join(map(printable, ids)), queued, output)
            return True
        return await _all_succeed(client, ids, patience, output)

    if not with_api(options.access(), ask):
        raise typer.Exit(ExitCode.FAILED)


async def _all_succeed(
    client: ApiClient, execution_ids: Sequence[str], patience: timedelta, output: OutputFormat | None
) -> bool:
    """Tell the end of each execution when it is there; return whether all succeeded.

    Those whose end was not seen are named on stderr before an error or an interruption goes on.
    """
    _name("queued", execution_ids)
    good, left = True, list(execution_ids)
    try:
        async with asyncio.timeout(patience.total_seconds()) as within:
            while left:
                ended = await _end(client, left[0], within.when() or 0.0)
                good &= ended["status"] == Status.SUCCESS
                _tell(ended, output)
                del left[0]
    except (TaskqueueError, asyncio.CancelledError):
        _name(_UNSEEN, left)
        raise
    except TimeoutError:
        _name(_UNSEEN, left)
        raise TaskqueueError(f"no end within {format_duration(patience)}") from None
    return good


def _name(what: str, execution_ids: Sequence[str]) -> None:
    typer.echo("\n".join([f"{what}:", *map(printable, execution_ids)]), err=True)


async def _end(client: ApiClient, execution_id: str, until: float) -> Body:
    """Return the execution once it has ended; an API that is away is asked again until then, by the loop's clock."""
    delay, loop = _FIRST_LOOK, asyncio.get_running_loop()
    while True:
        found = await answered(lambda: client.get(path_of("executions", execution_id)), until - loop.time())
        if found["status"] in TERMINAL:
            return found
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, _LONGEST_LOOK)


def _tell(ended: Body, output: OutputFormat | None) -> None:
    error = ended["error"] or {}
    why = f": {error['code']}: {error['message']}" if error else f": {ended['reason']}" if ended["reason"] else ""
    took = "" if ended["duration_ms"] is None else f" in {ended['duration_ms']} ms"
    print_step(f"{ended['execution_id']} {ended['status']}{took}{why}", ended, output)


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except InvalidValueError as error:
        raise ConfigError(f"--within: {error}") from None
    if not found:
        raise ConfigError("--within 0s: use a duration above zero")
    return found
