"""`taskqueue doctor` as people and programs call it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis

from taskqueue.core.doctor import CHECKS_BY_ID
from tests.support.commands import run_here

Run = tuple[int, str, str]


def run_doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    """Run it here; return its exit code, output and errors."""
    return run_here(capsys, "doctor", *arguments)


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_QUEUE__URL", "amqp://me:hunter2@127.0.0.1:1/")


def test_each_service_is_looked_at_though_the_other_is_away(
    store: redis.Redis, no_broker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output, _ = run_doctor(capsys, "-o", "json")

    found = json.loads(output)
    severities = {finding["check"]: finding["severity"] for finding in found["findings"]}
    assert (code, found["severity"]) == (1, "fail")
    assert severities.keys() == CHECKS_BY_ID.keys()
    assert severities["rabbitmq-reachable"] == "fail"
    assert severities["redis-reachable"] == "ok"
    assert "hunter2" not in output


def test_exit_5_when_nothing_answers(directory: Path, no_broker: None, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()

    code, output, _ = run_doctor(capsys, "-o", "table")

    assert code == 5
    assert time.monotonic() - began < 15
    assert "redis.addresses" in output
    assert "queue.url" in output


def test_exit_0_and_the_findings_of_one_check(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run_doctor(capsys, "--only", "redis-version", "--only", "redis-cluster", "-o", "yaml")

    assert code == 0
    assert output.count("check:") == 2


def test_a_warning_is_no_failure_unless_strict(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    store.set("taskqueue:done:job-1", "success")

    code, output, _ = run_doctor(capsys, "--only", "redis-keys-without-ttl", "-o", "table")
    strict_code, *_ = run_doctor(capsys, "--only", "redis-keys-without-ttl", "--strict")

    assert (code, strict_code) == (0, 1)
    assert "0 ok, 1 warn, 0 fail, 0 skipped" in output


def test_all_keys_are_looked_at_when_that_is_asked_for(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    with store.pipeline(transaction=False) as pipeline:
        for number in range(12_000):
            pipeline.set(f"taskqueue:users:u{number}:tasks", "")
        pipeline.execute()

    _, sample, _ = run_doctor(capsys, "--only", "redis-keys-without-ttl")
    _, full, _ = run_doctor(capsys, "--only", "redis-keys-without-ttl", "--full")

    assert "of the first" in sample
    assert "of all keys" in full


def test_a_check_that_there_is_not_is_wrong_usage(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run_doctor(capsys, "--only", "redis-versoin")

    assert code == 2
    assert "redis-version" in errors


@pytest.mark.parametrize("url", ["me:hunter2@there", "http://me:hunter2@[there"])
def test_a_management_url_that_is_none_is_wrong_usage_and_stays_secret(
    directory: Path, no_broker: None, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    code, _, errors = run_doctor(capsys, "--management", url)

    assert code == 2
    assert "--management: not a URL" in errors
    assert "hunter2" not in errors


def test_a_worker_s_settings_will_do(store: redis.Redis, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = directory / "worker.yaml"
    config.write_text("worker: {}\n", encoding="utf-8")

    code, output, _ = run_doctor(capsys, "--config", str(config), "--only", "tasks-file", "-o", "json")

    assert code == 0
    assert json.loads(output)["findings"][0]["severity"] == "skipped"
