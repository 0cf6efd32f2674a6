"""Figures of brokers that cannot be had here: other versions, several nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskqueue.core.doctor import Severity
from taskqueue.core.doctor_broker import (
    BrokerFacts,
    Canary,
    CanaryEnd,
    ManagementFacts,
    NodeSeen,
    QueueSeen,
    judge_alarms,
    judge_dead_lettering,
    judge_lane,
    judge_policies,
    judge_queues,
    judge_version,
)

DELAYED = "taskqueue.jobs.delayed"


def facts(**changes: Any) -> BrokerFacts:
    fields: dict[str, Any] = {
        "place": "amqp://rabbit:5672/",
        "version": (3, 13, 7),
        "topology": (),
        "uncompared": (),
        "limitless_failed_queue": None,
        "refused": (),
        "blocked": False,
        "depths_at_s": 0.0,
        "in_lane": 0,
        "failed_jobs": 0,
        "ready": {},
        "canary": Canary(end=CanaryEnd.BACK),
    }
    return BrokerFacts(**fields | changes)


def management(*queues: QueueSeen, nodes: int = 1, **node: Any) -> ManagementFacts:
    fields: dict[str, Any] = {"name": "rabbit@one", "running": True, "alarms": ()}
    return ManagementFacts(
        place="http://rabbit:15672",
        queues={queue.name: queue for queue in queues},
        bindings=frozenset(),
        nodes=tuple(NodeSeen(**fields | node) for _ in range(nodes)),
    )


def queue(name: str, definition: dict[str, object], undelivered: int | None = None) -> QueueSeen:
    return QueueSeen(name=name, policies=("p",), definition=definition, undelivered=undelivered)


@pytest.mark.parametrize(
    ("version", "nodes", "severity"),
    [
        ((3, 9, 29), None, Severity.FAIL),
        ((3, 10, 8), None, Severity.WARN),
        ((3, 10, 8), 1, Severity.OK),
        ((3, 12, 4), 3, Severity.FAIL),
        ((3, 12, 5), 3, Severity.OK),
        ((4, 1, 0), None, Severity.OK),
        ((), None, Severity.SKIPPED),
    ],
)
def test_what_a_version_must_be_depends_on_the_nodes(
    version: tuple[int, ...], nodes: int | None, severity: Severity
) -> None:
    shown = None if nodes is None else management(nodes=nodes)

    assert judge_version(facts(version=version), shown).severity is severity


def test_a_failed_queue_of_an_older_version_is_told_on_rabbitmq_4() -> None:
    (found,) = judge_queues(facts(version=(4, 0, 5), limitless_failed_queue="has no limit"))

    assert (found.severity, found.found) == (Severity.WARN, "has no limit")


def test_a_queue_that_may_not_be_compared_is_not_said_to_be_right() -> None:
    (found,) = judge_queues(facts(uncompared=("queue taskqueue.jobs.low",)))

    assert found.severity is Severity.SKIPPED


def test_the_node_with_an_alarm_is_named() -> None:
    (found,) = judge_alarms(facts(blocked=True), management(alarms=("disk",)))

    assert (found.severity, found.place, found.found) == (Severity.FAIL, "node rabbit@one", "alarm: disk")


@pytest.mark.parametrize(
    ("name", "definition", "harmless"),
    [
        (DELAYED, {"message-ttl": 120_000}, True),
        (DELAYED, {"message-ttl": 60_000}, False),
        ("taskqueue.jobs.low", {"message-ttl": 120_000}, False),
        ("taskqueue.jobs.low", {"expires": 1000}, False),
        ("taskqueue.jobs.low", {"delivery-limit": 10}, True),
        ("taskqueue.jobs.low", {"delivery-limit": 9}, False),
        ("taskqueue.jobs.low", {"queue-leader-locator": "balanced"}, True),
    ],
)
def test_a_policy_is_harmless_or_not(name: str, definition: dict[str, object], harmless: bool) -> None:
    (found,) = judge_policies(
        management(queue(name, definition)),
        longest_delay=timedelta(seconds=120),
        delivery_limits={"taskqueue.jobs.low": 10},
        facts=facts(),
    )

    assert found.severity is (Severity.OK if harmless else Severity.FAIL)


def test_a_canary_that_nobody_confirmed_is_a_failure_and_no_riddle_during_an_alarm() -> None:
    lost = Canary(end=CanaryEnd.UNCONFIRMED, said="no word within 3 s")

    assert judge_dead_lettering(facts(canary=lost), None).severity is Severity.FAIL
    assert judge_dead_lettering(facts(canary=lost, blocked=True), None).severity is Severity.SKIPPED


@pytest.mark.parametrize(("overdue_s", "severity"), [(None, "skipped"), (-30, "skipped"), (6, "fail")])
def test_a_canary_behind_jobs_says_something_only_when_they_are_overdue(overdue_s: int | None, severity: str) -> None:
    behind = facts(in_lane=3, canary=Canary(end=CanaryEnd.NOT_BACK))
    overdue = None if overdue_s is None else timedelta(seconds=overdue_s)

    assert judge_dead_lettering(behind, overdue).severity.value == severity


def test_messages_that_the_broker_holds_and_cannot_move_are_told() -> None:
    stuck = facts(canary=Canary(end=CanaryEnd.NOT_BACK))

    found = judge_lane(stuck, management(queue(DELAYED, {}, undelivered=32)), None)

    assert (found.severity, found.found[-2:]) == (Severity.FAIL, "32")


@pytest.mark.parametrize(
    ("in_lane", "overdue_s", "severity"),
    [(None, None, "skipped"), (0, 60, "ok"), (5, None, "skipped"), (5, 5, "ok"), (5, 5.1, "fail"), (5, -30, "ok")],
)
def test_jobs_are_stuck_when_the_last_one_is_overdue(
    in_lane: int | None, overdue_s: float | None, severity: str
) -> None:
    overdue = None if overdue_s is None else timedelta(seconds=overdue_s)

    seen = facts(in_lane=in_lane, canary=Canary(end=CanaryEnd.NOT_BACK))

    assert judge_lane(seen, None, overdue).severity.value == severity


@pytest.mark.parametrize("end", [CanaryEnd.BACK, CanaryEnd.ANOTHER_CAME])
def test_a_queue_that_lets_a_canary_through_is_not_stuck_however_long_ago_its_jobs_were_due(end: CanaryEnd) -> None:
    found = judge_lane(facts(in_lane=1, canary=Canary(end=end)), None, timedelta(seconds=100))

    assert found.severity is Severity.OK


def test_messages_that_are_held_are_a_warning_though_a_canary_came_through() -> None:
    found = judge_lane(facts(), management(queue(DELAYED, {}, undelivered=31)), None)

    assert (found.severity, found.found[-2:]) == (Severity.WARN, "31")


@pytest.mark.parametrize(("undelivered", "known"), [(None, False), (0, True)])
def test_an_empty_queue_is_said_to_be_well_only_as_far_as_can_be_seen(undelivered: int | None, known: bool) -> None:
    found = judge_lane(facts(), management(queue(DELAYED, {}, undelivered=undelivered)), None)

    assert found.severity is Severity.OK
    assert ("only --management shows" in found.found) is not known


def test_a_watch_queue_that_does_not_answer_is_a_failure() -> None:
    unwatched = Canary(end=CanaryEnd.NOT_WATCHED, said="no answer within 5 s")

    assert judge_dead_lettering(facts(canary=unwatched), None).severity is Severity.FAIL
