"""The wheel is complete: what a checkout has beside the package is inside, and it works far away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a source distribution of this checkout."""
    directory = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment of its own; what taskqueue needs comes from the environment of the tests."""
    directory = tmp_path_factory.mktemp("elsewhere")
    venv.create(directory / "venv", with_pip=False)
    binaries = directory / "venv" / "bin"
    _run(sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-deps", wheel)
    site_packages = _run(binaries / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # What a .pth file adds comes after site-packages itself (the wheel wins), and .pth files in there do not count.
    Path(site_packages, "needs.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return binaries


@pytest.mark.parametrize("kind", ["lua", "config"])
def test_the_wheel_carries_every_file_of(wheel: Path, kind: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    expected = [path for path in (ROOT / kind).rglob("*") if path.is_file()]

    assert expected
    assert {f"taskqueue/_data/{path.relative_to(ROOT)}" for path in expected} <= set(names)


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    assert "taskqueue/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_command_runs_in_another_directory(installed: Path, tmp_path: Path) -> None:
    assert _run(installed / "taskqueue", "version", cwd=tmp_path).strip()


@pytest.mark.parametrize("kind", ["lua", "config"])
def test_assets_are_found_inside_the_installed_wheel(installed: Path, tmp_path: Path, kind: str) -> None:
    program = f"from taskqueue.assets import asset_dir; d = asset_dir({kind!r}); print(d, len(list(d.iterdir())))"

    directory, count = _run(installed / "python", "-c", program, cwd=tmp_path).split()

    assert Path(directory).is_relative_to(installed.parent)
    assert int(count) > 0


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(  # programs of the environments made here
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
