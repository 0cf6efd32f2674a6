from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import taskqueue.cli.main as cli
from taskqueue import __version__
from taskqueue.cli.main import main
from tests.support.command_tree import commands


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Add a verb `break` that raises."""

    def add(error: BaseException) -> None:
        def verb() -> None:
            """Break."""
            raise error

        module = ModuleType("taskqueue_broken_verb")
        module.verb = verb  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "_VERBS", {**cli._VERBS, "break": (module.__name__, "verb", "Break.")})

    return add


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")

    for words in commands():
        assert run(*words.split(), "--help") == 0
        output = capsys.readouterr()
        assert f"Usage: taskqueue {words}".rstrip() in output.out
        assert output.err == ""


def test_on_a_terminal_of_40_columns_help_is_complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    for words, command in commands().items():
        assert run(*words.split(), "--help") == 0
        text = capsys.readouterr().out
        assert set((command.help or "").split()) <= set(text.split())
        assert re.search(r"…|[a-z,]\.\.\.$", text, re.MULTILINE) is None


def test_the_list_of_verbs_says_of_each_what_its_own_help_says() -> None:
    for verb, (_, _, summary) in cli._VERBS.items():
        assert commands()[verb].help.startswith(summary.rstrip("."))


def test_the_list_of_verbs_imports_none_of_them() -> None:
    program = "import sys; from taskqueue.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    imported = {name for name in listed.stdout.split() if name.startswith("taskqueue.")}
    assert imported & {"taskqueue.config", "taskqueue.store", "taskqueue.broker", "taskqueue.scheduler"} == set()


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_the_version_is_an_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["taskqueue"] == __version__


def test_a_misspelt_verb_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("limit", "show") == 2
    assert "Did you mean 'limits'?" in capsys.readouterr().err


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


def test_a_broker_that_does_not_answer_is_one_line_and_exit_5(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "apply", "--url", "amqp://127.0.0.1:1/") == 5
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("amqp://127.0.0.1:1/: ")


@pytest.mark.parametrize("debug", ["", "0"])
def test_an_unexpected_error_is_one_line_without_what_it_says(
    broken: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    debug: str,
) -> None:
    monkeypatch.setenv("TASKQUEUE_DEBUG", debug)
    broken(RuntimeError("amqp://me:hunter2@host/"))

    assert run("break") == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"taskqueue: unexpected RuntimeError in taskqueue/cli/main\.py:\d+; with TASKQUEUE_DEBUG=1 ", line)
    assert "hunter2" not in line


def test_an_error_of_the_system_says_what_the_system_says(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    assert run("break") == 1
    assert "unexpected OSError (No space left on device)" in capsys.readouterr().err


def test_with_debugging_an_unexpected_error_tells_everything(
    broken: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKQUEUE_DEBUG", "1")
    broken(RuntimeError("all of it"))

    with pytest.raises(RuntimeError, match="all of it"):
        main(["break"])


@pytest.mark.parametrize(
    ("error", "line"), [(KeyboardInterrupt(), "interrupted"), (KeyboardInterrupt("2 of 3 done"), "2 of 3 done")]
)
def test_ctrl_c_is_one_line_and_exit_130(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str], error: BaseException, line: str
) -> None:
    broken(error)

    assert run("break") == 130
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["users", "import", "--help"]])
def test_a_reader_that_has_left_gets_no_traceback(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    completed = subprocess.run(
        [str(Path(sys.executable).with_name("taskqueue")), *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)

    assert completed.stderr == b""
    assert completed.returncode == 1
