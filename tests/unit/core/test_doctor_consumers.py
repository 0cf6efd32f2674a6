"""Limits of consumers, and policies that RabbitMQ has from 3.12 on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.doctor import Severity
from taskqueue.core.doctor_broker import BrokerFacts, Canary, CanaryEnd, ManagementFacts, QueueSeen, QueueUse
from taskqueue.core.doctor_consumers import (
    ConsumerTimeout,
    judge_consumer_timeout,
    judge_consumers,
    judge_timeout_policies,
)


def facts(**ready: QueueUse | None) -> BrokerFacts:
    return BrokerFacts(
        place="amqp://rabbit:5672/",
        version=(3, 13, 7),
        topology=(),
        uncompared=(),
        limitless_failed_queue=None,
        refused=(),
        blocked=False,
        depths_at_s=0.0,
        in_lane=0,
        failed_jobs=0,
        ready=ready,
        canary=Canary(end=CanaryEnd.BACK),
    )


@pytest.mark.parametrize(
    ("limit_s", "severity"), [(300, Severity.FAIL), (301, Severity.WARN), (600, Severity.OK), (None, Severity.OK)]
)
def test_the_consumer_timeout_is_to_be_twice_the_longest_call(limit_s: int | None, severity: Severity) -> None:
    told = ConsumerTimeout(limit=None if limit_s is None else timedelta(seconds=limit_s))

    found = judge_consumer_timeout(told, timedelta(minutes=5), "task t", "amqp://rabbit:5672/")

    assert found.severity is severity


@pytest.mark.parametrize(("limit_ms", "severity"), [(60_000, Severity.FAIL), (600_000, Severity.OK)])
def test_a_policy_s_consumer_timeout_is_judged_as_the_broker_s_is(limit_ms: int, severity: Severity) -> None:
    queues = [
        QueueSeen(name=name, policies=("short",), definition={"consumer-timeout": limit_ms}, undelivered=None)
        for name in ("taskqueue.jobs.high", "taskqueue.jobs.delayed")
    ]
    shown = ManagementFacts(place="m", queues={queue.name: queue for queue in queues}, bindings=frozenset(), nodes=None)

    (found,) = judge_timeout_policies(shown, ("taskqueue.jobs.high",), timedelta(minutes=5), "task t")

    assert (found.severity, found.place) == (severity, "queue taskqueue.jobs.high, policy short")


def test_every_queue_that_nobody_consumes_is_a_failure() -> None:
    use = {"high": QueueUse(messages=3, consumers=0), "low": QueueUse(messages=9, consumers=1)}

    (found,) = judge_consumers(facts(**use))

    assert (found.severity, found.place) == (Severity.FAIL, "queue high")
    assert found.found.endswith("messages that wait: 3")


def test_queues_that_may_not_be_looked_at_are_not_said_to_be_consumed() -> None:
    (found,) = judge_consumers(facts(high=None))

    assert found.severity is Severity.SKIPPED
