"""taskqueue/dev/packages.py, with an apt-get that only writes down what it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskqueue.dev import packages
from taskqueue.errors import ServiceError


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the packages would ask whether they may start a daemon."""
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", path)
    monkeypatch.setattr(packages, "_updated", set())
    return path


@pytest.fixture
def environ(tmp_path: Path, policy: Path) -> dict[str, str]:
    """An environment whose apt-get writes its arguments, and the policy it sees, to `asked`."""
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{policy}; echo "daemons: $?" >> {tmp_path}/asked\n')
    apt.chmod(0o755)
    return {"PATH": f"{apt.parent}:/usr/bin:/bin"}


def _asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


def _ignore(_line: str) -> None:
    """Progress that nobody reads."""


def test_lists_are_refreshed_once(environ: dict[str, str], tmp_path: Path) -> None:
    packages.install(["one"], environ, _ignore)
    packages.install(["two"], environ, _ignore)

    commands = [line.split()[0] for line in _asked(tmp_path) if not line.startswith("daemons")]
    assert commands == ["update", "install", "install"]


def test_no_daemon_may_start_while_packages_are_installed(environ: dict[str, str], tmp_path: Path) -> None:
    packages.install(["one"], environ, _ignore)

    assert [line for line in _asked(tmp_path) if line.startswith("daemons")] == ["daemons: 101"] * 2


def test_the_policy_is_gone_afterwards(environ: dict[str, str], policy: Path) -> None:
    packages.install(["one"], environ, _ignore)

    assert not policy.exists()


def test_an_existing_policy_stays(environ: dict[str, str], policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o755)

    packages.install(["one"], environ, _ignore)

    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_what_apt_says_reaches_the_error(environ: dict[str, str], policy: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/sh\necho E: Unable to locate package >&2\nexit 100\n")

    with pytest.raises(ServiceError, match="Unable to locate package"):
        packages.install(["one"], environ, _ignore)

    assert not policy.exists()
