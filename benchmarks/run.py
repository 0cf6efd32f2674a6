"""Run every benchmark on services of our own, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from taskqueue.dev.services import development_services

PROGRAMS = ("publishing.py", "planning.py")


def main() -> int:
    """Return 0 when every program did."""
    folder = Path(__file__).resolve().parent
    with development_services(os.environ, print) as services:
        environ = {**os.environ, **services.environment()}
        runs = [subprocess.run([sys.executable, folder / name], env=environ, check=False) for name in PROGRAMS]
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main())
