"""Make .venv hold exactly what requirements/dev.lock names, and this checkout as an editable package.

Runs on any Python from 3.11 without a package installed. uv does the work, in a fifth of pip's time; where uv cannot
reach an index (it does not read pip.conf), pip does it. Both check every file against the lock's hashes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.lock"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main() -> int:
    """Return 0 when the environment is ready; what failed has said why before."""
    steps = (make_venv, install_uv, install_locked, install_this)
    return 0 if all(step() for step in steps) else 1


def make_venv() -> bool:
    """Make .venv unless it works already."""
    if PYTHON.exists() and quiet(PYTHON, "-c", "import pip"):
        return True
    if not quiet(sys.executable, "-c", "import ensurepip, venv") and not install_venv_module():
        return False
    return run(sys.executable, "-m", "venv", "--clear", VENV)


def install_venv_module() -> bool:
    """Install what Debian and Ubuntu leave out of Python."""
    package = f"python3.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"This Python cannot make virtual environments; as root: apt-get install {package}", file=sys.stderr)
        return False
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    return run("apt-get", "update", "-qq") and run("apt-get", "install", "-qqy", "--no-install-recommends", package)


def install_uv() -> bool:
    """Install uv in the lock's version: pip finds it wherever pip.conf says."""
    pins = [entry for entry in LOCK.read_text(encoding="utf-8").split("\n") if entry]
    first = next(number for number, line in enumerate(pins) if line.startswith("uv=="))
    last = next(number for number in range(first, len(pins)) if not pins[number].endswith("\\"))
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as only_uv:
        only_uv.write("\n".join(pins[first : last + 1]) + "\n")
        only_uv.flush()
        return pip_install("-r", only_uv.name)


def install_locked() -> bool:
    """Install what the lock names and remove what it does not."""
    if index := configured_index():
        os.environ.setdefault("UV_DEFAULT_INDEX", index)
    if run(VENV / "bin" / "uv", "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, LOCK):
        return True
    print("uv could not install everything; pip tries", file=sys.stderr)
    return pip_install("-r", LOCK)


def configured_index() -> str:
    """Return the index that pip is told to use; empty where it is told nothing, and uv then knows its own."""
    if index := os.environ.get("PIP_INDEX_URL"):
        return index
    asked = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def install_this() -> bool:
    """Install this checkout, editable; everything it needs to be built is in the lock."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
    return run(PYTHON, "-m", "pip", "install", *options, "--editable", ROOT)


def pip_install(*arguments: str | Path) -> bool:
    """Run pip in .venv, with hashes required."""
    options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes")
    return run(PYTHON, "-m", "pip", "install", *options, *arguments)


def run(*command: str | Path) -> bool:
    """Run `command`, print it first, and return whether it succeeded."""
    print("+", *(str(word).removeprefix(f"{ROOT}/") for word in command), flush=True)
    return subprocess.run(command, check=False).returncode == 0


def quiet(*command: str | Path) -> bool:
    """Return whether `command` succeeds; show nothing of it."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
