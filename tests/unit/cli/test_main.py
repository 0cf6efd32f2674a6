from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskqueue import __version__
from taskqueue.cli.main import main

COMMANDS = [
    [],
    ["scheduler"],
    ["worker"],
    ["version"],
    ["config"],
    ["config", "validate"],
    ["topology"],
    ["topology", "apply"],
    ["users"],
    ["limits"],
    ["limits", "show"],
    ["limits", "set"],
    ["limits", "clear"],
    ["users", "import"],
    ["users", "enable"],
    ["users", "disable"],
    ["users", "show"],
    ["users", "list"],
    ["token"],
    ["token", "create"],
    ["token", "list"],
    ["token", "revoke"],
    ["token", "rotate"],
]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")

    assert run(*command, "--help") == 0

    output = capsys.readouterr()
    assert " ".join(["Usage:", "taskqueue", *command]) in output.out
    assert output.err == ""


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [["frobnicate"], ["users", "frobnicate"], ["version", "--frobnicate"]])
def test_wrong_usage_is_exit_2_and_names_what_is_wrong(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert "frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["config"], ["topology"], ["limits"], ["users"]])
def test_a_command_group_alone_shows_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert "Commands" in capsys.readouterr().out


def test_a_bad_configuration_is_exit_2_without_a_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("scheduler", "--config", str(tmp_path / "missing.yaml")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "missing.yaml: cannot be read: No such file or directory" in line


def test_a_broker_that_does_not_answer_is_one_line_and_exit_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "apply", "--url", "amqp://127.0.0.1:1/") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("amqp://127.0.0.1:1/: ")


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["users", "import", "--help"]])
def test_a_reader_that_has_left_gets_no_traceback(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    completed = subprocess.run(  # noqa: S603 - our own command
        [str(Path(sys.executable).with_name("taskqueue")), *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)

    assert completed.stderr == b""
    assert completed.returncode == 1
