"""requirements/dev.lock is what pyproject.toml asks for, and works wherever it is used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in _PIN.findall(LOCK)}


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _requirements() -> list[Requirement]:
    pyproject = _pyproject()
    project = pyproject["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = [
        *project["dependencies"],
        *extras,
        *pyproject["dependency-groups"]["dev"],
        *pyproject["build-system"]["requires"],
    ]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_the_lock_satisfies_pyproject(requirement: Requirement, pins: dict[str, Version]) -> None:
    version = pins.get(canonicalize_name(requirement.name))

    assert version is not None, f"{requirement.name} is not in requirements/dev.lock; run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), "run `make lock`"


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^--?(i|index-url|extra-index-url|find-links|f)\b", LOCK, re.MULTILINE)


def test_every_pin_has_a_hash() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)

    assert [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


def test_the_project_itself_is_not_locked(pins: dict[str, Version]) -> None:
    # A requirement on our own name would be answered with whatever an index has under it.
    assert _pyproject()["project"]["name"] not in pins
