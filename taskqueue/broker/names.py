"""Names on the broker: exchanges, queues and routing keys. Other systems know these; they never change."""

from __future__ import annotations

from typing import Final

from taskqueue.core.task import Priority

#: direct exchange; its routing keys are `jobs.high`, `jobs.normal`, `jobs.low`, `jobs.failed` and the queues' names
EXCHANGE: Final = "taskqueue"
#: fanout exchange in front of the delayed queue: a message keeps the routing key of the queue it is to reach when due
DELAY_EXCHANGE: Final = "taskqueue.delay"

DELAYED_QUEUE: Final = "taskqueue.jobs.delayed"
FAILED_QUEUE: Final = "taskqueue.jobs.failed"
FAILED_ROUTING_KEY: Final = "jobs.failed"
#: the key of the messages with which a leader measures the delayed queue, and the queue that swallows them
LANE_WATCH_ROUTING_KEY: Final = "lane"
LANE_WATCH_QUEUE: Final = "taskqueue.lane"

#: the AMQP property `app_id` of what we publish; messages without it come from another system
APP_ID: Final = "taskqueue"

_QUEUE_PREFIX = "taskqueue."


def routing_key(priority: Priority) -> str:
    """Return the routing key of the ready queue of `priority`, such as `jobs.high`."""
    return f"jobs.{priority.name.lower()}"


def queue_name(priority: Priority) -> str:
    """Return the name of the ready queue of `priority`, such as `taskqueue.jobs.high`."""
    return _QUEUE_PREFIX + routing_key(priority)


_MOST_URGENT_FIRST = sorted(Priority, reverse=True)
#: the queues that workers consume, and their routing keys, most urgent first
READY_QUEUES: Final = tuple(queue_name(priority) for priority in _MOST_URGENT_FIRST)
READY_ROUTING_KEYS: Final = tuple(routing_key(priority) for priority in _MOST_URGENT_FIRST)
QUEUES: Final = (*READY_QUEUES, DELAYED_QUEUE, FAILED_QUEUE)
