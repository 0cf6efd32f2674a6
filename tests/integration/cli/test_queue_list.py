from __future__ import annotations

import json

import pytest

from tests.support.commands import run_here


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code, out, _ = run_here(capsys, "queue", "list", *arguments)
    return code, out


@pytest.mark.usefixtures("directory")
def test_queues_that_are_missing_are_listed_without_numbers_and_are_exit_1(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", amqp_url)

    code, out = listed(capsys, "--over", "0.1")

    rows = json.loads(out)
    assert (code, len(rows)) == (1, 5)
    assert {(row["ready"], row["consumers"], row["growth_per_s"]) for row in rows} == {(None, None, None)}


@pytest.mark.usefixtures("directory")
def test_rabbitmq_that_is_away_is_exit_5(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", "amqp://127.0.0.1:1/")

    assert listed(capsys) == (5, "")
