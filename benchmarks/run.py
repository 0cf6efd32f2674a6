"""Run every benchmark on services of our own, one after the other."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from taskqueue.dev.services import development_services

#: each with what makes it short; the full form takes three quarters of an hour
PROGRAMS = (
    ("publishing.py", ()),
    ("planning.py", ()),
    ("scheduler_million.py", ("--quick",)),
    ("lateness.py", ()),
    ("limits.py", ("--seconds", "20")),
    ("worker_throughput.py", ("--quick",)),
    ("http_clients.py", ()),
    ("api.py", ("--tasks", "100000")),
    ("api_firing.py", ()),
)

#: these write their figures as JSON
WITH_JSON = (
    "scheduler_million.py",
    "lateness.py",
    "worker_throughput.py",
    "http_clients.py",
    "api.py",
    "api_firing.py",
)


def main() -> int:
    """Return 0 when every program did."""
    names = [name.removesuffix(".py") for name, _ in PROGRAMS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"some of {', '.join(names)}; all without")
    parser.add_argument("--full", action="store_true", help="a million users, longer looks")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write the figures there as well")
    options = parser.parse_args()
    if unknown := set(options.programs) - set(names):
        parser.error(f"no such program: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [command(name, short, options) for name, short in PROGRAMS if _wanted(name, options.programs)]
    with development_services(os.environ, print) as services:
        environ = {**os.environ, **services.environment()}
        runs = [subprocess.run(each, env=environ, check=False) for each in chosen]
    return max(run.returncode for run in runs)


def _wanted(name: str, programs: list[str]) -> bool:
    return not programs or name.removesuffix(".py") in programs


def command(name: str, short: tuple[str, ...], options: argparse.Namespace) -> list[str]:
    """Return how to run one program."""
    words = [sys.executable, str(Path(__file__).resolve().parent / name)]
    if not options.full:
        words += short
    if options.json is not None and name in WITH_JSON:
        options.json.mkdir(parents=True, exist_ok=True)
        words += ["--json", str(options.json / f"{name.removesuffix('.py')}.json")]
    return words


if __name__ == "__main__":
    sys.exit(main())
