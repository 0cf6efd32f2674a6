"""`taskqueue completion`: what makes a shell complete verbs and options at a press of Tab."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """A shell that can be taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell reads it.")]) -> None:
    """Print a script that lets a shell complete verbs and options.

    For bash, put this into ~/.bashrc: eval "$(taskqueue completion bash)"
    """
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name="taskqueue", complete_var="_TASKQUEUE_COMPLETE", shell=shell.value))
