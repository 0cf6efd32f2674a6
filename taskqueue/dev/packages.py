"""Installing RabbitMQ and Redis with the system's package manager, without their daemons."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from taskqueue.dev.programs import find_program, search_path
from taskqueue.errors import ServiceError

#: asked by Debian's packages before they start a daemon: 101 means no (invoke-rc.d(8))
_POLICY = Path("/usr/sbin/policy-rc.d")
_START_NOTHING = "#!/bin/sh\nexit 101\n"

#: seconds; downloads and unpacks about 100 MB
_DEADLINE = 900.0

_updated: set[Path] = set()


def can_install(environ: Mapping[str, str]) -> bool:
    """Return whether packages can be installed: apt-get is there and we are root."""
    return os.geteuid() == 0 and find_program("apt-get", environ) is not None


def install(packages: Sequence[str], environ: Mapping[str, str], progress: Callable[[str], None]) -> None:
    """Install `packages` from the system's own repositories, refreshing its lists once per process.

    Daemons that run stay as they are; the new packages start none. Raises ServiceError with the end of apt's output.
    """
    apt = find_program("apt-get", environ)
    if apt is None:
        raise ServiceError(f"apt-get is not there; install {', '.join(packages)} in your system's way")
    environment = {**environ, "PATH": search_path(environ), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with _no_daemons():
        if apt not in _updated:
            progress("apt-get update")
            _run([str(apt), "update"], environment)
            _updated.add(apt)
        progress("apt-get install " + " ".join(packages))
        _run(
            [str(apt), "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *packages],
            environment,
        )


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    if _POLICY.exists():  # somebody's decision, and usually this one
        yield
        return
    _POLICY.write_text(_START_NOTHING)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # apt-get by its found path, with package names of this file's callers
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"`{' '.join(command)}` did not end within {_DEADLINE:.0f} s; run it by hand") from None
    if done.returncode:
        words = (done.stdout + done.stderr).decode(errors="replace")[-2000:].strip()
        raise ServiceError(f"`{' '.join(command)}` failed ({done.returncode}):\n{words}")
