"""What the facts about schedulers, workers and tasks mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from taskqueue.core import capacity
from taskqueue.core.doctor import Finding, fail, ok, skipped, warn


def judge_schedulers(leader: str | None, followers: Sequence[str]) -> Finding:
    """Judge how many live: one alone has nobody who takes over."""
    alive = [*([] if leader is None else [leader]), *followers]
    found = f"{len(alive)}: {', '.join(alive)}" if alive else "none"
    match len(alive):
        case 0:
            return fail("schedulers", "schedulers", "none lives: nothing is planned, and nothing released")
        case 1:
            return warn("schedulers", "schedulers", f"only {alive[0]}: nobody takes over when it ends")
        case _:
            return ok("schedulers", "schedulers", found)


def judge_leader(leader: str | None, lease_holder: str | None) -> Finding:
    """Judge who holds the lease; `lease_holder` may be a process that is gone."""
    if leader is not None:
        return ok("leader", "leader", leader)
    held = "nobody holds the lease" if lease_holder is None else f"the lease is held by {lease_holder}, which is silent"
    return fail("leader", "leader", held)


def judge_workers(active: Sequence[str], silent: Sequence[str]) -> Iterator[Finding]:
    """Judge the workers of the last five minutes."""
    for worker in silent:
        yield warn("workers", f"worker {worker}", "has not been heard of for some seconds, and did not say good-bye")
    if not active:
        yield fail("workers", "workers", "none lives: nothing is called")
    elif not silent:
        yield ok("workers", "workers", f"{len(active)}: {', '.join(active[:10])}{', …' if len(active) > 10 else ''}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksFile:
    """tasks.yaml as it stands here: its mistakes, or its revision with what is paused through the API."""

    place: str
    revision: str = ""
    problems: tuple[str, ...] = ()


def judge_tasks_file(file: TasksFile, in_force: str | None) -> Iterator[Finding]:
    """Judge the file against the revision in force; None: no leader has put anything in force yet."""
    check = "tasks-file"
    for problem in file.problems:
        yield fail(check, file.place, problem, "mend the file: a mistake in it keeps the last good version in force")
    if file.problems:
        return
    if in_force is None:
        yield fail(check, file.place, "no leader has put any tasks in force yet", "start a scheduler")
    elif in_force.removesuffix(".drain") != file.revision:
        yield fail(check, file.place, f"revision {file.revision} here, {in_force} in force")
    else:
        yield ok(check, file.place, f"revision {file.revision} is in force")


def judge_references(problems: Sequence[str], count: int) -> Iterator[Finding]:
    """Judge references by what this process can read; whether workers run here is not known."""
    for problem in problems:
        yield warn("references", problem.partition(": ")[0], problem.partition(": ")[2])
    if not problems:
        found = f"all {count} can be read" if count else "there are none"
        yield ok("references", "tasks", found)


def judge_limits(problems: Sequence[capacity.Finding], *, tasks: int, calls: int, complete: bool) -> Iterator[Finding]:
    """Judge whether the calls of `tasks` fit: `problems` are those of `taskqueue plan`, over what runs.

    Not `complete`: only some of the users are known, `calls` of theirs in a day, so there are those problems at least.
    """
    check = "limits"
    for problem in problems:
        judged = fail if problem.severity is capacity.Severity.REFUSED else warn
        yield judged(check, "all tasks" if problem.task_id is None else f"task {problem.task_id}", problem.text)
    if not tasks:
        yield skipped(check, "tasks", "no task is in force")
    elif not problems:
        scope = "" if complete else ", as far as preferences were read (--full reads all)"
        yield ok(check, "tasks", f"{calls:,} calls in 24 h, tasks: {tasks}; all fit{scope}")
