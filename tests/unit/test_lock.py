"""requirements/*.lock are what pyproject.toml asks for, and work wherever they are used."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)

#: what developers and CI install, what is in the image, and what builds it
LOCKS = ("dev", "runtime", "build")


def _text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")


def _pins(lock: str) -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in _PIN.findall(_text(lock))}


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _requirements() -> Iterable[tuple[str, str]]:
    """Return each lock with each line that it has to satisfy."""
    pyproject = _pyproject()
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    builds = pyproject["build-system"]["requires"]
    asked = {
        "dev": [*project["dependencies"], *extras, *groups["dev"], *builds],
        "runtime": project["dependencies"],
        "build": [*groups["image"], *builds],
    }
    return [(lock, line) for lock, lines in asked.items() for line in lines]


@pytest.mark.parametrize(("lock", "line"), _requirements())
def test_the_lock_satisfies_pyproject(lock: str, line: str) -> None:
    requirement = Requirement(line)
    version = _pins(lock).get(canonicalize_name(requirement.name))

    assert version is not None, f"{requirement.name} is not in requirements/{lock}.lock; run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), "run `make lock`"


@pytest.mark.parametrize("lock", ["runtime", "build"])
def test_the_image_has_the_versions_that_the_tests_run_with(lock: str) -> None:
    tested = _pins("dev")
    assert {name: version for name, version in _pins(lock).items() if name in tested and version != tested[name]} == {}
    assert _pins("runtime").keys() <= tested.keys()


def test_the_image_has_nothing_that_is_for_developers() -> None:
    assert _pins("runtime").keys().isdisjoint({"pytest", "mypy", "ruff", "hypothesis", "testcontainers", "uv", "pip"})


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_host(lock: str) -> None:
    assert "://" not in _text(lock)
    assert not re.search(r"^--?(i|index-url|extra-index-url|find-links|f)\b", _text(lock), re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", _text(lock), flags=re.MULTILINE)

    assert [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_project_itself_is_not_locked(lock: str) -> None:
    # A requirement on our own name would be answered with whatever an index has under it.
    assert _pyproject()["project"]["name"] not in _pins(lock)
