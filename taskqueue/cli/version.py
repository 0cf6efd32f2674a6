"""`taskqueue version`."""

from __future__ import annotations

from platform import python_version

from taskqueue import __version__
from taskqueue.cli.output import Answer, print_answer


def version(output: Answer = None) -> None:
    """Print the version."""
    print_answer(__version__, {"taskqueue": __version__, "python": python_version()}, output)
