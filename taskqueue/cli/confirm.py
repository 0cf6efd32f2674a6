"""Consent to what cannot be taken back: `--yes` and `--dry-run` of every verb that destroys something."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from taskqueue.cli.terminal import printable
from taskqueue.errors import RefusedError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done; change nothing.")]


def agreed(action: str, *, yes: bool, dry_run: bool = False) -> bool:
    """Return whether to go on with `action`, words such as `revoke token k7`: with `yes`, or when a person agrees.

    With `dry_run` the action is told on standard output, and the answer is False. The verb then ends, with exit code 0,
    as it does when the person says no. Raises RefusedError where there is nobody to ask.
    """
    shown = printable(action)
    if dry_run:
        typer.echo(f"would {shown}")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise RefusedError(f"{shown}: nobody to ask; add --yes, or --dry-run to look first")
    return typer.confirm(f"{shown}?", err=True)
