"""`taskqueue exec`: executions of a task, one of them and its log, or cancel some."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from taskqueue.cli.api_client import ApiOptions
from taskqueue.cli.config_options import SCHEDULER_YAML, RedisConfig
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.exec_logs import follow_log, print_log
from taskqueue.cli.exec_source import Executions, executions_of
from taskqueue.cli.exec_view import doubting, id_doubt, readable
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.list_limits import ListLimits, print_rows
from taskqueue.cli.option_groups import grouped
from taskqueue.cli.output import Answer, Output, OutputFormat, chosen, print_record, print_step
from taskqueue.cli.terminal import printable
from taskqueue.errors import ConfigError, NotFoundError, TaskqueueError
from taskqueue.store.cancellations import CancelOutcome

exec_app = typer.Typer(help="Executions: the jobs of tasks and what became of them.", no_args_is_help=True)

Job = Annotated[str, typer.Argument(metavar="JOB", help="A job id, a UUID, which is an execution id.")]

#: jobs that may be cancelled without a question
_FEW = 10

#: the columns of `list`; JSON and YAML have more
_LISTED = ("execution_id", "status", "queued_at", "started_at", "duration_ms", "retry_number", "worker_id")


@exec_app.callback()
def executions() -> None:
    """Executions: the jobs of tasks and what became of them. Over the API where --api names one, else from Redis."""


@exec_app.command("list")
@grouped(ApiOptions, ListLimits)
def list_executions(
    options: ApiOptions,
    limits: ListLimits,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The id of a task.")],
    config: RedisConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """List executions of a task, the latest first: of one in tasks.yaml those that called its endpoint and ended.

    Exit 3 when there is no such task.
    """

    async def look() -> None:
        async with executions_of(options, config) as found:
            await print_rows(found.rows(task, limits.count()), output, fields=_LISTED)

    asyncio.run(look())


@exec_app.command()
@grouped(ApiOptions)
def cancel(
    options: ApiOptions,
    jobs: Annotated[list[str], typer.Argument(metavar="JOB", help="Job ids, which are execution ids.")],
    *,
    config: RedisConfig = SCHEDULER_YAML,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Answer = None,
) -> None:
    """Cancel jobs for good, wherever they are: nobody calls them (again), and a call that runs is cut within 2 seconds.

    For more than ten jobs it asks first.

    Exit 1 when one had ended before, which changes nothing. Where Redis or the API fails on the way, stderr tells which
    jobs are left.
    """
    _check(jobs)
    opened = executions_of(options, config)
    of_them = f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs"
    if not agreed(f"cancel {of_them}", yes=yes or len(jobs) <= _FEW, dry_run=dry_run):
        return

    async def cancel_all() -> bool:
        async with opened as found:
            return await _cancel(found, jobs, output)

    if not asyncio.run(cancel_all()):
        raise typer.Exit(ExitCode.FAILED)


@exec_app.command()
@grouped(ApiOptions)
def show(options: ApiOptions, job: Job, config: RedisConfig = SCHEDULER_YAML, output: Output = None) -> None:
    """Show what is known about a job: its status, who runs it or where it waits, its record and attempts.

    Exit 3 when nothing is known about it, for it waits in RabbitMQ or in a slot, ended long ago or never was.
    """
    _check([job])

    async def look() -> None:
        async with executions_of(options, config) as found:
            record, known = await found.record(job)
        if not known:
            raise NotFoundError(
                f"{printable(job)}: nothing is known about it; it waits in RabbitMQ or in a slot, ended long ago or "
                "never was"
            )
        print_record(readable(record) if chosen(output) is OutputFormat.TABLE else record, output)

    with doubting(job):
        asyncio.run(look())


@exec_app.command()
@grouped(ApiOptions)
def logs(
    options: ApiOptions,
    job: Job,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False,
    config: RedisConfig = SCHEDULER_YAML,
    output: Answer = None,
) -> None:
    """Show the log of a job: when each attempt began, what came back, how it ended, and what its endpoint returned.

    With -o json each line is an object. Exit 3 when there is no log, for no attempt of the job has ended yet, or it
    ended long ago or never was.
    """
    _check([job])
    form = OutputFormat.JSON if as_json else output

    async def look() -> None:
        async with executions_of(options, config) as found:
            await (follow_log if follow else print_log)(found, job, form)

    with doubting(job):
        asyncio.run(look())


async def _cancel(found: Executions, job_ids: Sequence[str], output: OutputFormat | None) -> bool:
    """Cancel one after the other, telling each answer; return whether none of them had ended before.

    Where that fails, those for which there is no answer are told before the error is raised.
    """
    all_cancelled = True
    for number, job_id in enumerate(job_ids):
        try:
            answer = await found.cancel(job_id)
        except TaskqueueError:
            if len(job_ids) > 1:
                left = "\n".join(map(printable, job_ids[number:]))
                typer.echo(f"without an answer, to be cancelled again:\n{left}", err=True)
            raise
        all_cancelled &= answer.outcome is not CancelOutcome.ENDED
        data = {"id": job_id, "outcome": answer.outcome, "detail": answer.detail}
        print_step(f"{job_id}: {answer.detail}", data, output)
        if answer.outcome is CancelOutcome.MARKED and (doubt := id_doubt(job_id)):
            typer.echo(printable(f"warning: {job_id}: {doubt}"), err=True)
    return all_cancelled


def _check(job_ids: Sequence[str]) -> None:
    """Raise ConfigError for what no job has as its id, before the first one is asked about."""
    for number, job_id in enumerate(job_ids, start=1):
        try:
            job_id.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"JOB {number}: not valid UTF-8; use the id of a job") from None
        if not job_id:
            raise ConfigError(f"JOB {number}: empty; use the id of a job")
