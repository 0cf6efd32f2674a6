"""`taskqueue users enable` and `disable`: set one task's switch of some users."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, RedisAndTasksConfig
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.error_text import error_text
from taskqueue.cli.exit_codes import ExitCode, exit_code_of
from taskqueue.cli.output import Answer, OutputFormat, print_answer
from taskqueue.cli.progress import progress
from taskqueue.cli.tasks_in_force import warn_of_unknown_task
from taskqueue.cli.terminal import printable
from taskqueue.cli.user_batches import Stated, Write, batches, redis_writer, write_nothing
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.config.user_file import read_switches
from taskqueue.core.ids import check_task_id
from taskqueue.core.preference import UserPreference
from taskqueue.errors import ConfigError, InvalidValueError, StoreError

_STDIN = "-"
#: users that may be switched off without a question
_FEW = 10
_AGAIN = "what was written stays; to finish, run the same command again"

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The id of a task of tasks.yaml.")]
UserIds = Annotated[
    list[str], typer.Argument(metavar="USER", help="User ids; - reads them from standard input, one on a line.")
]


def enable(
    task: TaskId,
    users: UserIds,
    *,
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    dry_run: DryRun = False,
    output: Answer = None,
) -> None:
    """Switch a task on for users; their other switches and settings stay. Running schedulers follow within seconds.

    Exit 1 when a line of standard input was bad (the good ones are written) or Redis failed on the way.
    """
    _run(_Order(task_id=task, enabled=True, dry_run=dry_run), users, config, output)


def disable(
    task: TaskId,
    users: UserIds,
    *,
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Answer = None,
) -> None:
    """Switch a task off for users, also where the task is on by default. Jobs that are already planned are skipped.

    For more than ten users, or those on standard input, it asks first.

    Exit 1 when a line of standard input was bad (the good ones are written) or Redis failed on the way.
    """
    order = _Order(task_id=task, enabled=False, dry_run=dry_run)
    _check(order, users)
    if not dry_run and (len(users) > _FEW or _STDIN in users):
        who = "all users on standard input" if _STDIN in users else f"{len(users)} users"
        if not agreed(f"disable {task} for {who}", yes=yes):
            return
    _run(order, users, config, output)


@dataclass(slots=True, kw_only=True)
class _Order:
    task_id: str
    enabled: bool
    dry_run: bool
    bad_lines: int = 0
    #: counted per batch, as by `import`
    written: int = 0

    def __str__(self) -> str:
        """`enabled daily_report for 3 users; 2 bad lines`, the latter where there are any."""
        verb = "enable" if self.enabled else "disable"
        said = f"would {verb}" if self.dry_run else f"{verb}d"
        bad = f"; {_counted(self.bad_lines, 'bad line')}" if self.bad_lines else ""
        return f"{said} {self.task_id} for {_counted(self.written, 'user')}{bad}"

    def as_dict(self) -> dict[str, object]:
        """Return what was done for programs."""
        return {
            "task_id": self.task_id,
            "enabled": self.enabled,
            "users": self.written,
            "bad_lines": self.bad_lines,
            "dry_run": self.dry_run,
        }

    def stated(self, users: Sequence[str]) -> Iterator[Stated]:
        """Yield the switch of each user, those on standard input included; tell each bad line of it at once."""
        for number, user_id in enumerate(users, start=1):
            if user_id == _STDIN:
                yield from self._stated_on_stdin()
            else:
                yield Stated(place=f"USER {number}", size=len(user_id), preference=self.preference(user_id))

    def preference(self, user_id: str) -> UserPreference:
        """Return the user's switch. Raises InvalidValueError for an id that is none."""
        return UserPreference(user_id=user_id, enabled_tasks={self.task_id: self.enabled})

    def _stated_on_stdin(self) -> Iterator[Stated]:
        for entry in read_switches(sys.stdin.buffer, self.task_id, enabled=self.enabled):
            place = f"<stdin>:{entry.line}"
            if isinstance(entry.stated, UserPreference):
                yield Stated(place=place, size=entry.size, preference=entry.stated)
            else:
                typer.echo(f"{place}: {entry.stated}", err=True)
                self.bad_lines += 1


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _run(order: _Order, users: Sequence[str], config: Path, output: OutputFormat | None) -> None:
    _check(order, users)
    settings = load_scheduler_settings(config)
    warn_of_unknown_task(order.task_id, settings)
    with ExitStack() as stack:
        write = (
            write_nothing
            if order.dry_run
            else stack.enter_context(redis_writer(settings.redis, client_name="taskqueue-users-switch")).write
        )
        ended = _write(order, users, write)
    print_answer(str(order), order.as_dict(), output)
    if order.bad_lines or ended:
        raise typer.Exit(ended or ExitCode.FAILED)


def _check(order: _Order, users: Sequence[str]) -> None:
    """Raise ConfigError for arguments that cannot be used, before anything is written."""
    if users.count(_STDIN) > 1:
        raise ConfigError("-: stands twice; standard input can be read only once")
    try:
        check_task_id(order.task_id)
        for user_id in users:
            order.preference(user_id)
    except InvalidValueError as error:
        raise ConfigError(str(error)) from None


def _write(order: _Order, users: Sequence[str], write: Write) -> ExitCode:
    """Write everything; where Redis ends it before, that is told, and with which exit code."""
    place = "USER 1"
    # How many ids come through a pipe nobody knows.
    total = None if _STDIN in users else len(users)
    try:
        with progress("writing", total) as advance:
            for batch in batches(order.stated(users)):
                place = batch.place
                write(batch.preferences)
                order.written += len(batch.preferences)
                advance(len(batch.preferences))
    except StoreError as error:
        typer.echo(printable(f"stopped at {place}: {error_text(error)}; {_AGAIN}"), err=True)
        return exit_code_of(error)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {order}; {_AGAIN}") from None
    return ExitCode.DONE
