"""What the facts about those who consume from RabbitMQ mean: whether there are any, and how long they may take."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta

from taskqueue.core.doctor import Finding, fail, ok, skipped, warn
from taskqueue.core.doctor_broker import BrokerFacts, ManagementFacts


def judge_consumers(facts: BrokerFacts) -> Iterator[Finding]:
    """Judge whether each ready queue has a consumer."""
    check = "rabbitmq-consumers"
    consumers = 0
    for queue, use in facts.ready.items():
        if use is None:
            yield skipped(check, f"queue {queue}", "missing, or this user may not look; see rabbitmq-queues")
        elif not use.consumers:
            waiting = f"messages that wait: {use.messages}" if use.messages else "no message waits yet"
            yield fail(check, f"queue {queue}", f"nobody consumes it; {waiting}")
        else:
            consumers += use.consumers
    if all(use is not None and use.consumers for use in facts.ready.values()):
        yield ok(check, facts.place, f"consumers: {consumers}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerTimeout:
    """`limit` is None where the broker sets none; `problem` says why nothing is known, and is empty where it is."""

    limit: timedelta | None = None
    problem: str = ""


def judge_consumer_timeout(told: ConsumerTimeout, longest: timedelta, task: str, place: str) -> Finding:
    """Judge the consumer_timeout against `longest`, the time-out of one call of `task`.

    A message may wait in its worker for another one's call before its own, hence twice the time.
    """
    check, call = "rabbitmq-consumer-timeout", f"a call of {task} may take {longest.total_seconds():g} s"
    if told.problem:
        how = "--rabbitmqctl PROGRAM, on the host of RabbitMQ"
        return skipped(check, place, f"{told.problem}; {call}, for which the usual 1800 s are enough", how)
    if told.limit is None:
        return ok(check, place, f"none; {call}")
    found = f"{told.limit.total_seconds():g} s, and {call}"
    if told.limit <= longest:
        return fail(check, place, f"{found}: RabbitMQ takes the job away from its worker, and it runs again")
    if told.limit < 2 * longest:
        return warn(check, place, f"{found}: too little for a job that waits in its worker before")
    return ok(check, place, found)


def judge_timeout_policies(
    management: ManagementFacts | None, queues: Collection[str], longest: timedelta, task: str
) -> Iterator[Finding]:
    """Judge each policy that sets a consumer-timeout for one of `queues`, where it takes the place of the broker's."""
    for queue in () if management is None else management.queues.values():
        limit_ms = queue.definition.get("consumer-timeout")
        if queue.name in queues and isinstance(limit_ms, int):
            limit = ConsumerTimeout(limit=timedelta(milliseconds=limit_ms))
            place = f"queue {queue.name}, policy {' and '.join(queue.policies)}"
            yield judge_consumer_timeout(limit, longest, task, place)
