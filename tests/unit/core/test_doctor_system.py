from __future__ import annotations

from taskqueue.core import capacity
from taskqueue.core.doctor import Finding, Severity, in_order, ok, skipped, warn, worst
from taskqueue.core.doctor_system import TasksFile, judge_limits, judge_tasks_file, judge_workers


def test_findings_stand_in_the_order_of_the_checks() -> None:
    findings = [ok("workers", "", ""), ok("rabbitmq-lane", "", ""), ok("leader", "", "")]

    assert [finding.check for finding in in_order(findings)] == ["rabbitmq-lane", "leader", "workers"]


def test_what_was_skipped_says_nothing() -> None:
    assert worst([skipped("leader", "", ""), ok("workers", "", "")]) is Severity.OK


def test_a_finding_without_a_remedy_of_its_own_has_that_of_its_check() -> None:
    assert warn("redis-version", "", "").remedy == "upgrade Redis to 7.0 or later"


def test_a_drained_revision_is_the_same_tasks() -> None:
    (found,) = judge_tasks_file(TasksFile(place="tasks.yaml", revision="r1"), "r1.drain")

    assert found.severity is Severity.OK


def test_every_mistake_of_the_file_is_a_finding() -> None:
    found = list(judge_tasks_file(TasksFile(place="tasks.yaml", problems=("one", "two")), "r1"))

    assert [finding.found for finding in found] == ["one", "two"]


def test_many_workers_are_counted_and_not_all_named() -> None:
    (found,) = judge_workers([f"worker-{number}" for number in range(1000)], [])

    assert found.found.startswith("1000: worker-0, ")
    assert len(found.found) < 150


def _limits(severity: capacity.Severity, task_id: str | None) -> Finding:
    problem = capacity.Finding(severity=severity, task_id=task_id, text="too much")
    (found,) = judge_limits([problem], tasks=1, calls=1, complete=True)
    return found


def test_what_a_plan_would_refuse_is_a_failure() -> None:
    assert _limits(capacity.Severity.REFUSED, "t").severity is Severity.FAIL
    assert _limits(capacity.Severity.WARNING, None).place == "all tasks"


def test_a_look_at_some_of_the_users_does_not_say_more_than_it_knows() -> None:
    (found,) = judge_limits([], tasks=3, calls=10, complete=False)

    assert "as far as preferences were read" in found.found
