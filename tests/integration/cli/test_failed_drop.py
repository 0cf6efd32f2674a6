"""`taskqueue failed drop`, and the file that it saves messages in, against a real RabbitMQ."""

from __future__ import annotations

import base64
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskqueue.cli import failed_changes
from tests.support.failed_pile import FailedPile, in_any_order

Run = Callable[..., tuple[int, str, str]]


@contextmanager
def disk_that_takes(most_bytes: int) -> Iterator[None]:
    """Let no file of this process become longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_dropped_messages_are_saved_first_and_the_others_stay(
    pile: FailedPile, run_failed: Run, tmp_path: Path
) -> None:
    for number in range(3):
        pile.add(number)
    before, file = in_any_order(pile.lying()), tmp_path / "saved.jsonl"

    code, out, _ = run_failed("drop", "--yes", "--job", "job-1", "--save", str(file))

    (saved,) = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (code, out) == (0, f"dropped 1, saved in {file}\n")
    assert base64.b64decode(saved["body"]) == before[1].body
    assert {name: value for name, value in saved["headers"].items() if not name.startswith("x-")} == before[1].headers
    assert saved["failure"]["job_id"] == "job-1"
    assert file.stat().st_mode & 0o777 == 0o600
    assert in_any_order(pile.lying()) == [before[0], before[2]]


def test_a_file_that_is_there_is_not_overwritten_and_nothing_is_dropped(
    pile: FailedPile, run_failed: Run, tmp_path: Path
) -> None:
    pile.add(1)
    file = tmp_path / "saved.jsonl"
    file.write_text("precious", encoding="utf-8")

    code, _, err = run_failed("drop", "--yes", "--save", str(file))

    assert (code, file.read_text(encoding="utf-8")) == (2, "precious")
    assert str(file) in err
    assert len(pile.lying()) == 1


def test_what_was_dropped_before_the_disk_was_full_is_counted(
    pile: FailedPile, run_failed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_changes, "_BATCH", 1)
    for number in range(3):
        pile.add(number)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert run_failed("drop", "--yes", "--limit", "1", "--save", str(first))[0] == 0

    with disk_that_takes(first.stat().st_size * 3 // 2):
        code, out, err = run_failed("drop", "--yes", "--save", str(second))

    assert (code, out, len(pile.lying())) == (2, f"dropped up to 1, saved in {second}\n", 1)
    assert err.startswith(f"--save {second}: ")


def test_a_drop_that_could_not_begin_leaves_no_file_in_its_own_way(
    pile: FailedPile, run_failed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pile.add(1)
    file = tmp_path / "saved.jsonl"
    with monkeypatch.context() as away:
        away.setenv("TASKQUEUE_QUEUE__URL", "amqp://127.0.0.1:1/")
        assert run_failed("drop", "--yes", "--save", str(file))[:2] == (5, "")

    assert run_failed("drop", "--yes", "--save", str(file))[:2] == (0, f"dropped 1, saved in {file}\n")
