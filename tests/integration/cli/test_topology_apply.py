from __future__ import annotations

from pathlib import Path

import pika
import pytest
from typer.testing import CliRunner

from taskqueue.broker.names import QUEUES
from taskqueue.cli.topology import topology_app

RUNNER = CliRunner()


def assert_declared(amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_declare(queue, passive=True)


def test_apply_makes_the_queues_at_a_url(amqp_url: str) -> None:
    result = RUNNER.invoke(topology_app, ["apply", "--url", amqp_url])

    assert result.exit_code == 0, result.output
    assert_declared(amqp_url)


@pytest.mark.parametrize("section", ["scheduler: {}", "worker: {}"])
def test_apply_reads_the_url_from_a_configuration_file(amqp_url: str, tmp_path: Path, section: str) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"queue:\n  url: '{amqp_url}'\n{section}\n", encoding="utf-8")

    result = RUNNER.invoke(topology_app, ["apply", "--config", str(config)])

    assert result.exit_code == 0, result.output
    assert_declared(amqp_url)


def test_apply_exits_1_and_names_a_queue_that_differs(amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_declare("taskqueue.jobs.failed", durable=True)

    result = RUNNER.invoke(topology_app, ["apply", "--url", amqp_url])

    assert result.exit_code == 1
    assert "queue taskqueue.jobs.failed: inequivalent arg 'x-queue-type'" in result.output


def test_apply_exits_1_without_the_password_when_nobody_answers() -> None:
    result = RUNNER.invoke(topology_app, ["apply", "--url", "amqp://me:hunter2@127.0.0.1:1/"])

    assert result.exit_code == 1
    assert "amqp://127.0.0.1:1/" in result.output
    assert "hunter2" not in result.output


def test_apply_exits_2_when_nothing_says_which_broker() -> None:
    result = RUNNER.invoke(topology_app, ["apply"])

    assert result.exit_code == 2
    assert "--config" in result.output
