"""What the facts about RabbitMQ mean: those seen over AMQP, and those of the management API where it is known.

The numbers are those of docs/amqp.md, Settings of the broker, and of rabbitmq.com (quorum queues, consumers, policies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from taskqueue.core.doctor import Finding, fail, ok, skipped, warn

OLDEST: Final = (3, 10)
#: from here on the crash of a queue's leader does not stop the delayed queue of a cluster
FOR_CLUSTERS: Final = (3, 12, 5)

#: after so long jobs that are due should have left the delayed queue
OVERDUE: Final = timedelta(seconds=5)

_ASK_MANAGEMENT: Final = "--management http://HOST:15672"
_UNTIL_THEN: Final = "mend what is wrong there first"

_DELAYED: Final = "queue taskqueue.jobs.delayed"


class CanaryEnd(StrEnum):
    """What became of the message that was sent through the delayed queue."""

    BACK = "back"
    #: another message with its key came out: the queue moves, and ours stands behind jobs that are not due yet
    ANOTHER_CAME = "another_came"
    NOT_BACK = "not_back"
    UNROUTABLE = "unroutable"
    UNCONFIRMED = "unconfirmed"
    NOT_ALLOWED = "not_allowed"
    NOT_WATCHED = "not_watched"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """`took` is how long it was away, or was waited for; `said` what the broker said where it refused something."""

    end: CanaryEnd
    took: timedelta = timedelta(0)
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One exchange or queue, and what is wrong with it."""

    thing: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUse:
    """How many messages of a queue are ready, and how many consumers it has."""

    messages: int
    consumers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFacts:
    """What a session with RabbitMQ showed. `place` names it without credentials.

    `uncompared` are queues that this user may not compare; `refused` is what it may not publish to, with the broker's
    words; `ready` are the ready queues by name, None for one that is missing or may not be looked at. Depths are
    numbers of ready messages, None where nobody may look; they were read at `depths_at_s`, by the clock of the event
    loop.
    """

    place: str
    version: tuple[int, ...]
    topology: tuple[Trouble, ...]
    uncompared: tuple[str, ...]
    limitless_failed_queue: str | None
    refused: tuple[Trouble, ...]
    blocked: bool
    depths_at_s: float
    in_lane: int | None
    failed_jobs: int | None
    ready: Mapping[str, QueueUse | None]
    canary: Canary


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """A queue as the management API shows it; `definition` is what its policies come to together.

    `undelivered` are messages that are due and were not moved on, neither at first nor seconds later; None where that
    is not told.
    """

    name: str
    policies: tuple[str, ...]
    definition: Mapping[str, object]
    undelivered: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node of the cluster, and what it is short of."""

    name: str
    running: bool
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementFacts:
    """What the management API shows; `bindings` are (exchange, queue, routing key). None: this user may not ask."""

    place: str
    queues: Mapping[str, QueueSeen]
    bindings: frozenset[tuple[str, str, str]]
    nodes: tuple[NodeSeen, ...] | None


def judge_version(facts: BrokerFacts, management: ManagementFacts | None) -> Finding:
    """Judge the version; for one below 3.12.5 it counts whether there are other nodes."""
    check, version = "rabbitmq-version", ".".join(map(str, facts.version))
    if not facts.version:
        return skipped(check, facts.place, "the broker does not say which version it is")
    if facts.version < OLDEST:
        return fail(check, facts.place, f"{version}: quorum queues cannot hand expired messages on before 3.10")
    if facts.version >= FOR_CLUSTERS:
        return ok(check, facts.place, version)
    nodes = None if management is None or management.nodes is None else len(management.nodes)
    if nodes == 1:
        return ok(check, facts.place, f"{version}, a single node")
    risk = "the crash of a queue's leader can hold all delayed jobs up until its node is back"
    if nodes is None:
        return warn(check, facts.place, f"{version}: in a cluster {risk}; whether it is one is not known")
    return fail(check, facts.place, f"{version}, {nodes} nodes: {risk}")


def judge_alarms(facts: BrokerFacts, management: ManagementFacts | None) -> Iterator[Finding]:
    """Judge whether the broker takes messages: by its word to us, and by what the nodes say of themselves."""
    check = "rabbitmq-alarms"
    alarms = [
        fail(check, f"node {node.name}", "does not run" if not node.running else f"alarm: {', '.join(node.alarms)}")
        for node in (management.nodes or () if management is not None else ())
        if node.alarms or not node.running
    ]
    yield from alarms
    if facts.blocked and not alarms:
        yield fail(check, facts.place, "the connection is blocked: nothing is published while the alarm lasts")
    elif not alarms:
        yield ok(check, facts.place, "no alarm")


def judge_permissions(facts: BrokerFacts) -> Iterator[Finding]:
    """Judge what this user was refused. Taking from the ready queues is not tried: it would take jobs."""
    check = "rabbitmq-permissions"
    for trouble in facts.refused:
        yield fail(check, trouble.thing, trouble.said)
    if facts.refused:
        return
    if facts.topology:
        yield skipped(check, facts.place, "exchanges or queues are missing or differ", _UNTIL_THEN)
    elif facts.canary.end is CanaryEnd.NOT_ALLOWED:
        yield warn(
            check, "taskqueue.lane", f"this user may publish, but not watch the delayed queue: {facts.canary.said}"
        )
    else:
        yield ok(check, facts.place, "may publish to taskqueue and taskqueue.delay")


def judge_queues(facts: BrokerFacts) -> Iterator[Finding]:
    """Judge exchanges and queues against ours."""
    check = "rabbitmq-queues"
    for trouble in facts.topology:
        yield fail(check, trouble.thing, trouble.said)
    if facts.limitless_failed_queue is not None:
        yield warn(check, "queue taskqueue.jobs.failed", facts.limitless_failed_queue)
    if facts.topology or facts.limitless_failed_queue is not None:
        return
    if facts.uncompared:
        # What this user may not declare is there; that it is right is known to whoever applies the topology.
        remedy = "run doctor with the user of taskqueue topology apply"
        yield skipped(check, facts.place, f"all there; this user may not compare {', '.join(facts.uncompared)}", remedy)
    else:
        yield ok(check, facts.place, "all there, with our arguments")


def judge_bindings(
    management: ManagementFacts | None, wanted: frozenset[tuple[str, str, str]], facts: BrokerFacts
) -> Iterator[Finding]:
    """Judge the bindings against `wanted`."""
    check = "rabbitmq-bindings"
    if management is None:
        why = "only the management API shows bindings; the delayed queue's own were used by the canary"
        yield skipped(check, facts.place, why, _ASK_MANAGEMENT)
        return
    missing = sorted(wanted - management.bindings)
    for exchange, queue, key in missing:
        yield fail(
            check, f"exchange {exchange}", f"no binding of {queue} with {key!r}: its messages are refused or lost"
        )
    if not missing:
        yield ok(check, management.place, f"all {len(wanted)} there")


#: keys of a policy that take messages out of a queue, or the queue itself
_REMOVING: Final[Mapping[str, str]] = {
    "max-length": "a full queue stops all delayed jobs, or drops the oldest",
    "max-length-bytes": "a full queue stops all delayed jobs, or drops the oldest",
    "message-ttl": "messages leave the queue before anybody took them",
    "expires": "the queue is deleted with its messages when nobody uses it",
}


def judge_policies(
    management: ManagementFacts | None,
    *,
    longest_delay: timedelta,
    delivery_limits: Mapping[str, int],
    facts: BrokerFacts,
) -> Iterator[Finding]:
    """Judge what policies make of our queues. `delivery_limits`: the limit that each queue must have at least."""
    check = "rabbitmq-policies"
    if management is None:
        yield skipped(check, facts.place, "only the management API shows policies", _ASK_MANAGEMENT)
        return
    bad = [
        fail(check, f"queue {queue.name}", f"policy {' and '.join(queue.policies)}: {problem}")
        for queue in management.queues.values()
        for problem in _policy_problems(queue, longest_delay, delivery_limits.get(queue.name, 0))
    ]
    yield from bad
    if not bad:
        named = sorted({name for queue in management.queues.values() for name in queue.policies})
        yield ok(check, management.place, f"harmless: {', '.join(named)}" if named else "none on our queues")


def _policy_problems(queue: QueueSeen, longest_delay: timedelta, delivery_limit: int) -> Iterator[str]:
    delays = queue.name.endswith(".delayed")
    for key, value in queue.definition.items():
        if key == "message-ttl" and delays and _number(value) >= longest_delay / timedelta(milliseconds=1):
            continue
        if key in _REMOVING:
            yield f"{key} {value}: {_REMOVING[key]}"
        elif key == "delivery-limit" and 0 <= _number(value) < delivery_limit:
            yield f"{key} {value}, we need {delivery_limit}: messages are given up too early"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0


def judge_dead_lettering(facts: BrokerFacts, overdue: timedelta | None) -> Finding:
    """Judge what became of the canary; `overdue` as for `judge_lane`."""
    check, canary = "rabbitmq-dead-lettering", facts.canary
    match canary.end:
        case CanaryEnd.BACK:
            return ok(check, _DELAYED, f"a canary came through within {_seconds(canary.took)}")
        case CanaryEnd.ANOTHER_CAME:
            return ok(check, _DELAYED, "the leader's probe came through; ours stands behind jobs that are not due yet")
        case CanaryEnd.NOT_BACK:
            return _judge_missing_canary(facts, overdue)
        case CanaryEnd.UNROUTABLE:
            return fail(check, "exchange taskqueue.delay", "leads to no queue: what is published there comes back")
    return _judge_unsent_canary(facts)


def _judge_missing_canary(facts: BrokerFacts, overdue: timedelta | None) -> Finding:
    check, took = "rabbitmq-dead-lettering", _seconds(facts.canary.took)
    if facts.in_lane == 0:
        return fail(check, _DELAYED, f"it was empty, and a canary did not come out of it within {took}")
    before = "messages" if facts.in_lane is None else f"messages: {facts.in_lane}"
    if overdue is not None and overdue > OVERDUE:
        return fail(check, _DELAYED, f"nothing came out within {took}, and all {before} before the canary are overdue")
    why = f"nothing came out within {took}; before the canary stand {before}, which may not be due yet"
    return skipped(check, _DELAYED, why, "look at taskqueue_lane_lag_seconds, which the leader measures all the time")


def _judge_unsent_canary(facts: BrokerFacts) -> Finding:
    check, canary = "rabbitmq-dead-lettering", facts.canary
    if facts.blocked:
        return skipped(check, _DELAYED, "an alarm holds messages back", _UNTIL_THEN)
    if canary.end is CanaryEnd.UNCONFIRMED:
        return fail(check, _DELAYED, f"RabbitMQ did not confirm a canary: {canary.said}")
    if canary.end is CanaryEnd.NOT_WATCHED:
        return fail(check, "queue taskqueue.lane", canary.said, "look for a queue without a quorum")
    if canary.end is CanaryEnd.NOT_ALLOWED:
        remedy = r"give the user configure, write and read on ^taskqueue\.lane(\.|$); docs/amqp.md"
        return skipped(check, _DELAYED, f"this user may not watch it: {canary.said}", remedy)
    return skipped(check, _DELAYED, f"no canary was sent: {canary.said}", _UNTIL_THEN)


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.1f} s"


def judge_lane(facts: BrokerFacts, management: ManagementFacts | None, overdue: timedelta | None) -> Finding:
    """Judge whether jobs are stuck; `overdue` is how long ago the last job in the delayed queue was due, None unknown.

    A canary that came out shows that the queue moves. The management API also knows of jobs that are due and were taken
    off the queue to be moved on, and were not: a canary goes elsewhere than they do.
    """
    check, place = "rabbitmq-lane", _DELAYED
    seen = None if management is None else management.queues.get("taskqueue.jobs.delayed")
    undelivered = None if seen is None else seen.undelivered
    if undelivered:
        judged = fail if facts.canary.end is CanaryEnd.NOT_BACK else warn
        held = f"due, and not moved to their ready queues for seconds: {undelivered}"
        return judged(check, place, held, "look for a missing binding, a full ready queue or one without a quorum")
    if facts.in_lane is None:
        return skipped(
            check, place, "this user may not see how many jobs are in it", "docs/amqp.md, Users with few rights"
        )
    unseen = "" if undelivered == 0 else "; whether jobs that left it are held on their way, only --management shows"
    if facts.in_lane == 0:
        return ok(check, place, f"empty{unseen}")
    return _judge_waiting(facts, overdue, unseen)


def _judge_waiting(facts: BrokerFacts, overdue: timedelta | None, unseen: str) -> Finding:
    check, place = "rabbitmq-lane", _DELAYED
    if facts.canary.end in {CanaryEnd.BACK, CanaryEnd.ANOTHER_CAME}:
        return ok(check, place, f"messages: {facts.in_lane}; they come out{unseen}")
    if overdue is None:
        return skipped(check, place, f"messages: {facts.in_lane}; when they are due is not known")
    if overdue > OVERDUE:
        late = f"messages: {facts.in_lane}; of ours the last was due {overdue.total_seconds():.0f} s ago"
        remedy = "a foreign message with a longer time stands before them: they come out when it does, in 120 s at most"
        return fail(check, place, late, remedy)
    return ok(check, place, f"messages: {facts.in_lane}; none overdue{unseen}")


def judge_failed_jobs(facts: BrokerFacts) -> Finding:
    """Judge the failed queue."""
    check, place = "rabbitmq-failed-jobs", "queue taskqueue.jobs.failed"
    if facts.failed_jobs is None:
        return skipped(check, place, "this user may not see how many there are", "docs/amqp.md, Users with few rights")
    if facts.failed_jobs:
        return warn(check, place, f"jobs that failed for good: {facts.failed_jobs}")
    return ok(check, place, "empty")
