"""`taskqueue users`: preferences of users, as other systems know them; here the group and its `import`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, BinaryIO

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, RedisAndTasksConfig
from taskqueue.cli.error_text import error_text
from taskqueue.cli.exit_codes import ExitCode, exit_code_of
from taskqueue.cli.output import Answer, print_answer
from taskqueue.cli.progress import Advance, progress
from taskqueue.cli.tasks_in_force import ids_in_force
from taskqueue.cli.user_batches import RedisWriter, Stated, batches, redis_writer, write_nothing
from taskqueue.cli.user_resumption import Notes, Resumption
from taskqueue.cli.user_switches import disable, enable
from taskqueue.cli.user_views import list_users, show
from taskqueue.config.catalog import load_catalog
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.config.user_file import UserFileFormat, read_users
from taskqueue.core.preference import UserPreference
from taskqueue.errors import ConfigError, StoreError
from taskqueue.store.import_marks import ImportMark

users_app = typer.Typer(help="Write and show the preferences of users in Redis.", no_args_is_help=True)

#: of files that are not what they should be, not every "task id" is remembered
_MAX_UNKNOWN_TASKS = 100

_STDIN = "-"
_AGAIN = "what was written stays; to finish, import the same files again, with --resume to go on from there"
_SUFFIXES = {".jsonl": UserFileFormat.JSONL, ".ndjson": UserFileFormat.JSONL, ".csv": UserFileFormat.CSV}


@users_app.callback()
def users() -> None:
    """Write and show the preferences of users in Redis."""


users_app.command()(enable)
users_app.command()(disable)
users_app.command()(show)
users_app.command("list")(list_users)


@users_app.command("import")
def import_users(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="*.jsonl or *.csv; - reads standard input.")],
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    file_format: Annotated[
        UserFileFormat | None, typer.Option("--format", help="What the files are; told from their names when left out.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files; write nothing.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Write only what an unfinished import of these files has not.")
    ] = False,
    output: Answer = None,
) -> None:
    """Write who wants which task, and with which settings; what the files do not mention stays as it is.

    Importing again is harmless. After an interruption --resume leaves out what was written before it, so that nothing
    that others have changed since is set back. Running schedulers follow within seconds.

    Exit 1 when a line was bad (the good ones are imported) or Redis failed on the way.
    """
    if files.count(_STDIN) > 1:
        raise ConfigError("-: stands twice; standard input can be read only once")
    if dry_run and resume:
        raise ConfigError("--resume and --dry-run: how far an import came stands in Redis; leave one of them out")
    settings = load_scheduler_settings(config)
    tasks_file = settings.tasks.config_file
    tally = _Tally(load_catalog(tasks_file).tasks)
    with ExitStack() as stack:
        sources = [_opened(name, file_format, stack) for name in files]
        writer = (
            None if dry_run else stack.enter_context(redis_writer(settings.redis, client_name="taskqueue-users-import"))
        )
        ended = _import(sources, writer, _resumption(sources, writer if resume else None), tally)
    in_force = ids_in_force(settings) if tally.unknown else frozenset[str]()
    for line in tally.warnings(tasks_file, in_force):
        typer.echo(line, err=True)
    print_answer(
        f"{'would import' if dry_run else 'imported'} {tally}", {**tally.as_dict(), "dry_run": dry_run}, output
    )
    if tally.bad_lines or ended:
        raise typer.Exit(ended or ExitCode.FAILED)


# --- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    name: str
    #: what the mark is kept by that tells how far it is imported
    marked: str
    file: BinaryIO
    file_format: UserFileFormat
    #: in bytes; None for a pipe
    size: int | None


def _opened(name: str, file_format: UserFileFormat | None, stack: ExitStack) -> _Source:
    """Open the file; `stack` closes it. Raises ConfigError when it cannot be read or its format is unknown."""
    found = file_format or _SUFFIXES.get(Path(name).suffix.lower())
    if found is None:
        raise ConfigError(f"{name}: the name tells no format; add --format jsonl or --format csv")
    if name == _STDIN:
        return _Source(name="<stdin>", marked=_STDIN, file=sys.stdin.buffer, file_format=found, size=None)
    file = stack.enter_context(_open(name))
    status = os.fstat(file.fileno())
    size = status.st_size if S_ISREG(status.st_mode) else None
    # By its whole path it is found again from any directory.
    marked = os.fsencode(Path(name).resolve()).decode(errors="backslashreplace")
    return _Source(name=name, marked=marked, file=file, file_format=found, size=size)


def _open(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError(f"{name}: cannot be read: {reason}; check the path and its permissions") from None


def _read(sources: Sequence[_Source], resumption: Resumption, tally: _Tally, advance: Advance) -> Iterator[Stated]:
    """Yield what the good lines state that were not written before; tell each bad one at once."""
    for source in sources:
        for entry in read_users(source.file, source.file_format):
            place = f"{source.name}:{entry.line}"
            written = resumption.skips(source.marked, entry)
            if not isinstance(entry.stated, UserPreference):
                typer.echo(f"{place}: {entry.stated}", err=True)
                tally.bad_lines += 1
            elif not written:
                mark = (source.marked, ImportMark(line=entry.line, checksum=entry.checksum))
                yield Stated(place=place, size=entry.size, preference=entry.stated, mark=mark)
            advance(entry.size)
        resumption.check_end(source.marked)


# --- writing ----------------------------------------------------------------------------------------------------------


def _resumption(sources: Iterable[_Source], writer: RedisWriter | None) -> Resumption:
    """Return what was written before; without a `writer`, nothing was. Raises StoreError."""
    names = {source.marked: source.name for source in sources}
    resumption = Resumption(names, writer.marks(names) if writer else {})
    if writer:
        resumption.tell()
    return resumption


def _import(sources: Sequence[_Source], writer: RedisWriter | None, resumption: Resumption, tally: _Tally) -> ExitCode:
    """Read and write everything; where Redis ends it before, that is told, and with which exit code."""
    place, notes = sources[0].name, Notes(writer)
    marked = [source.marked for source in sources]
    write = writer.write if writer else write_nothing
    try:
        if not resumption.goes_on:
            notes.begin(marked)
        sizes = [source.size for source in sources]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        with progress("importing", total, in_bytes=True) as advance:
            for batch in batches(_read(sources, resumption, tally, advance)):
                place = batch.place
                write(batch.preferences)
                tally.add(batch.preferences)
                notes.reached(batch)
        notes.finished(marked)
    except StoreError as error:
        typer.echo(f"stopped at {place}: {error_text(error)}; {_AGAIN}", err=True)
        return exit_code_of(error)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted after {tally}; {_AGAIN}") from None
    return ExitCode.DONE


# --- what is told -----------------------------------------------------------------------------------------------------


class _Tally:
    """What was imported so far, counted per batch: a user of two batches counts twice."""

    def __init__(self, known_tasks: Collection[str]) -> None:
        self.bad_lines = 0
        self._known_tasks = known_tasks
        self._users = 0
        self._switches = 0
        self._settings = 0
        self._users_of_unknown = Counter[str]()
        self._more_unknown = False

    def __str__(self) -> str:
        """`300 users, 512 switches, 40 settings; 2 bad lines`, the latter where there are any."""
        imported = ", ".join(
            (
                _counted(self._users, "user", "users"),
                _counted(self._switches, "switch", "switches"),
                _counted(self._settings, "setting", "settings"),
            )
        )
        return imported + (f"; {_counted(self.bad_lines, 'bad line', 'bad lines')}" if self.bad_lines else "")

    def as_dict(self) -> dict[str, object]:
        """Return the counts for programs."""
        return {
            "users": self._users,
            "switches": self._switches,
            "settings": self._settings,
            "bad_lines": self.bad_lines,
        }

    def add(self, preferences: Collection[UserPreference]) -> None:
        """Count `preferences`."""
        self._users += len(preferences)
        for preference in preferences:
            self._switches += len(preference.enabled_tasks)
            self._settings += len(preference.settings_ids)
            for task_id in preference.task_ids.difference(self._known_tasks):
                self._count_unknown(task_id)

    @property
    def unknown(self) -> bool:
        """Whether tasks were stated that are not among the known ones."""
        return bool(self._users_of_unknown)

    def warnings(self, tasks_file: Path, in_force: Collection[str]) -> Iterator[str]:
        """Yield a line for each task that is neither `in_force` nor in `tasks_file`, whose tasks are the known ones."""
        for task_id, count in sorted(self._users_of_unknown.items()):
            if task_id in in_force:
                continue
            who = _counted(count, "user", "users")
            yield f"warning: {tasks_file} has no task {task_id}, stated for {who}; it counts once there is one"
        if self._more_unknown:
            yield f"warning: {tasks_file} lacks more tasks than these; check that the files are for this system"

    def _count_unknown(self, task_id: str) -> None:
        if task_id in self._users_of_unknown or len(self._users_of_unknown) < _MAX_UNKNOWN_TASKS:
            self._users_of_unknown[task_id] += 1
        else:
            self._more_unknown = True


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
