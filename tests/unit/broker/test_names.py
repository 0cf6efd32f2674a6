from __future__ import annotations

import pytest

from taskqueue.broker import names
from taskqueue.core.task import Priority


@pytest.mark.parametrize(
    ("priority", "key"), [(Priority.HIGH, "jobs.high"), (Priority.NORMAL, "jobs.normal"), (Priority.LOW, "jobs.low")]
)
def test_each_priority_has_its_queue_and_key(priority: Priority, key: str) -> None:
    assert (names.routing_key(priority), names.queue_name(priority)) == (key, f"taskqueue.{key}")


def test_ready_queues_are_listed_most_urgent_first() -> None:
    assert names.READY_QUEUES == ("taskqueue.jobs.high", "taskqueue.jobs.normal", "taskqueue.jobs.low")
