"""Every verb of `taskqueue` with its options, as the command itself knows them."""

from __future__ import annotations

from functools import cache
from typing import Any

from typer.main import get_command

from taskqueue.cli.main import application


@cache
def commands() -> dict[str, Any]:
    """Return every command and group by its words, such as `users import`; `` is `taskqueue` alone."""
    root = get_command(application())
    found: dict[str, Any] = {"": root}
    pending = [""]
    while pending:
        words = pending.pop()
        group: Any = found[words]
        context = group.context_class(group, info_name="taskqueue")
        for name in group.list_commands(context) if hasattr(group, "list_commands") else ():
            below = f"{words} {name}".strip()
            found[below] = group.get_command(context, name)
            pending.append(below)
    return found


def verbs() -> dict[str, Any]:
    """Return the commands that do something: all but the groups, and of those the ones that do something alone."""
    return {words: command for words, command in commands().items() if getattr(command, "invoke_without_command", True)}


def options(command: Any) -> set[str]:
    """Return the options of a command by all their names, but for --help."""
    names = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
    return {name for name in names if name.startswith("-")}
