from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from taskqueue.broker.names import QUEUES
from tests.support.commands import run_here

Apply = Callable[..., tuple[int, str]]


@pytest.fixture
def apply(capsys: pytest.CaptureFixture[str]) -> Apply:
    """Run `taskqueue topology apply` with arguments; return its exit code and all that it said."""

    def run(*arguments: str) -> tuple[int, str]:
        code, out, err = run_here(capsys, "topology", "apply", *arguments)
        return code, out + err

    return run


def assert_declared(amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_declare(queue, passive=True)


def test_apply_makes_the_queues_at_a_url(apply: Apply, amqp_url: str) -> None:
    code, said = apply("--url", amqp_url)

    assert code == 0, said
    assert_declared(amqp_url)


@pytest.mark.parametrize("section", ["scheduler: {}", "worker: {}"])
def test_apply_reads_the_url_from_a_configuration_file(
    apply: Apply, amqp_url: str, tmp_path: Path, section: str
) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"queue:\n  url: '{amqp_url}'\n{section}\n", encoding="utf-8")

    code, said = apply("--config", str(config))

    assert code == 0, said
    assert_declared(amqp_url)


def test_apply_exits_1_and_names_a_queue_that_differs(apply: Apply, amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_declare("taskqueue.jobs.failed", durable=True)

    code, said = apply("--url", amqp_url)

    assert code == 1
    assert "queue taskqueue.jobs.failed: inequivalent arg 'x-queue-type'" in said


def test_apply_exits_5_without_the_password_when_nobody_answers(apply: Apply) -> None:
    code, said = apply("--url", "amqp://me:hunter2@127.0.0.1:1/")

    assert code == 5
    assert "amqp://127.0.0.1:1/" in said
    assert "hunter2" not in said


def test_apply_exits_2_when_nothing_says_which_broker(apply: Apply) -> None:
    code, said = apply()

    assert code == 2
    assert "--config" in said
