"""The image of docker/Dockerfile without a Docker engine.

Each stage is a layer over this machine's own root (overlayfs), in which its commands run as they stand. What the
machine's Python lacks to be that of the base image is put into a first layer. Needs root and Linux.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dockerfile import Stage, assignments, read_dockerfile
from tools.bootstrap import configured_index

_BASE_PATH = "/usr/local/image-python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: how packages are found on this machine: no part of the image
_HOW_TO_FETCH = (
    "PIP_",
    "UV_",
    "SSL_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

# A mount empties the directory that others use for a moment while they make theirs ready: one after the other.
_MOUNT = """
set -e
exec 9>"$UPPER.lock"
flock 9
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$UPPER,workdir=$WORK" "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
"""


@dataclass(slots=True, kw_only=True)
class Layer:
    """Files over those of this machine, as an overlay sees them."""

    directory: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _BASE_PATH})
    workdir: str = "/"
    user: str = "0:0"

    @property
    def files(self) -> Path:
        """What this layer holds."""
        return self.directory / "upper"

    def command(self, words: Sequence[str], *, before: str = "", wrap: Sequence[str] = ()) -> list[str]:
        """Return the command that runs `words` in the layer; `before` is done as root once all is mounted."""
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        go = 'exec 9>&-; exec chroot "$ROOT" env -C "$WORKDIR" -- "$@"'
        return ["unshare", "--mount", "sh", "-c", f"{_MOUNT}{before}\n{go}", "sh", *wrap, *words]

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of such a command: that of the image and `more`, and what the mounts need."""
        mounts = {name.upper(): str(self.directory / name) for name in ("upper", "work", "root")}
        return {**self.environment, **more, **mounts, "WORKDIR": self.workdir}

    def run(self, *words: str, more: Mapping[str, str] | None = None) -> str:
        """Run a command as root and return what it wrote; fails with that when the command fails."""
        done = subprocess.run(
            self.command(words),
            env=self.variables(more or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


def why_not() -> str | None:
    """Return why no image can be made here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root on Linux, and unshare"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return None if tried.returncode == 0 else "nothing may be mounted here"


def build_image(dockerfile: Path, context: Path, directory: Path) -> tuple[Stage, Layer]:
    """Return the last stage and what it made."""
    base = _base(directory / "base")
    layers: dict[str, Layer] = {}
    stages = read_dockerfile(dockerfile)
    for number, stage in enumerate(stages):
        layer = Layer(directory=directory / f"stage{number}")
        shutil.copytree(base.files, layer.files, symlinks=True)
        for step in stage.steps:
            _do(layer, step.word, step.text, context, layers)
        layers[stage.name] = layer
    return stages[-1], layer


def _base(directory: Path) -> Layer:
    """Make a layer with a `python` and a `pip` for everybody."""
    layer = Layer(directory=directory)
    python = Path(sys.executable).resolve()
    for parent in python.parents:
        layer.run("chmod", "a+rx", str(parent))
    layer.run(str(python), "-m", "venv", "/usr/local/image-python")
    return layer


def _do(layer: Layer, word: str, text: str, context: Path, layers: Mapping[str, Layer]) -> None:
    if word == "RUN":
        layer.run("sh", "-c", text, more=_fetching())
    elif word == "COPY":
        _copy(layer, text.split(), context, layers)
    elif word == "ENV":
        values = assignments(text)
        layer.environment |= {name: value.replace("$PATH", layer.environment["PATH"]) for name, value in values.items()}
    elif word == "WORKDIR":
        layer.workdir = text
        (layer.files / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        layer.user = text
    else:
        assert word in {"LABEL", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}, f"what is {word}?"


def _copy(layer: Layer, words: list[str], context: Path, layers: Mapping[str, Layer]) -> None:
    origin = context
    if words[0].startswith("--from="):
        origin = layers[words.pop(0).removeprefix("--from=")].files
    *sources, target = words
    place = layer.files / os.path.normpath(os.path.join(layer.workdir, target)).lstrip("/")  # noqa: PTH118 - as Docker joins
    for source in sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(
                found, place, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            into = place / found.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def _fetching() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_HOW_TO_FETCH)}
    index = configured_index()
    return {"HOME": "/root", **({"UV_DEFAULT_INDEX": index} if index else {}), **kept}
