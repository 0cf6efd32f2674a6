from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskqueue.cli.main import main

#: presses Tab behind the words of its arguments, in the way bash does, and prints what it is offered
PRESS_TAB = """
eval "$("$1" completion bash)"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=0
$(complete -p taskqueue | sed 's/.*-F \\([^ ]*\\).*/\\1/') taskqueue
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words: str) -> list[str]:
    command = Path(sys.executable).with_name("taskqueue")
    completed = subprocess.run(
        ["/bin/bash", "-c", PRESS_TAB, "bash", str(command), "taskqueue", *words],
        env={"PATH": f"{command.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert completed.stderr == ""
    return completed.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lim"], ["limits"]),
        (["users", "list", "--en"], ["--enabled"]),
        (["limits", "show", "-o", ""], ["table", "json", "yaml"]),
    ],
)
def test_bash_completes_verbs_options_and_their_values(words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o default -F _taskqueue_completion taskqueue"),
        ("zsh", "compdef _taskqueue_completion taskqueue"),
        ("fish", "complete --command taskqueue"),
    ],
)
def test_each_shell_has_its_script(shell: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["completion", shell])

    assert left.value.code == 0
    assert line in capsys.readouterr().out


def test_a_shell_that_cannot_be_taught_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["completion", "tcsh"])

    assert left.value.code == 2
    assert "bash" in capsys.readouterr().err
