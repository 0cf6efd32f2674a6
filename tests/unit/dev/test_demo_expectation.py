from __future__ import annotations

import ast
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.dev import demo_expectation
from taskqueue.dev.demo_expectation import DemoTask, DemoTrigger, DemoUser, ExpectedJob, expected_jobs, is_due
from taskqueue.dev.demo_inputs import BROKEN, CUSTOM, MANUAL, REPORT, SYNC, TASKS, demo_users, triggered_users

MINUTE = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
WINDOW = timedelta(seconds=30)

POST = DemoTask(id="post", name="", cron="* * * * *", method="POST", path="/ok", retries=2)
GET = DemoTask(id="get", name="", cron="* * * * *", method="GET", path="/ok", retries=2)


def expect(
    *users: DemoUser,
    task: DemoTask = POST,
    beside: tuple[datetime, ...] = (),
    triggers: tuple[DemoTrigger, ...] = (),
) -> list[ExpectedJob]:
    return expected_jobs([task], users, judged=MINUTE, beside=beside, triggers=triggers, window=WINDOW)


def wants(task_id: str, *, on: bool = True, **details: object) -> DemoUser:
    return DemoUser(user_id="u", enabled_tasks={task_id: on}, **details)


def test_the_expectation_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(demo_expectation.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or "."] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }

    assert imported <= sys.stdlib_module_names
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


@pytest.mark.parametrize("user", [wants("post", on=False), wants("other")])
def test_a_user_who_does_not_want_the_task_is_not_expected(user: DemoUser) -> None:
    assert expect(user) == []


def test_parameters_stand_in_the_body_of_a_post() -> None:
    (job,) = expect(wants("post", parameters={"post": {"a": "1"}}))

    assert job.fields == {"user_id": "u", "parameters": {"a": "1"}}


def test_parameters_stand_beside_the_user_in_the_query_of_a_get() -> None:
    (job,) = expect(wants("get", parameters={"get": {"a": "1"}}), task=GET)

    assert job.fields == {"user_id": "u", "a": "1"}


@pytest.mark.parametrize(("refusals", "attempts", "succeeds"), [(0, 1, True), (2, 3, True), (3, 3, False)])
def test_attempts_follow_from_refusals_and_retries(refusals: int, attempts: int, succeeds: bool) -> None:
    task = DemoTask(id="t", name="", cron="* * * * *", method="POST", path="/", retries=2, refusals=refusals)

    (job,) = expect(wants("t"), task=task)

    assert (job.attempts, job.succeeds) == (attempts, succeeds)


def test_a_user_who_opts_out_is_planned_and_not_called() -> None:
    (job,) = expect(wants("post", opts_out_of=frozenset({"post"})))

    assert job.required
    assert not job.called


def test_an_opt_out_does_not_count_for_the_minute_before() -> None:
    _, before = expect(wants("post", opts_out_of=frozenset({"post"})), beside=(MINUTE - timedelta(minutes=1),))

    assert before.called
    assert not before.required


def test_a_custom_interval_decides_in_its_own_zone() -> None:
    even_in_kathmandu = wants("post", custom_intervals={"post": ("*/2 * * * *", "Asia/Kathmandu")})

    assert expect(even_in_kathmandu) == []
    assert [job.scheduled_from for job in expect(even_in_kathmandu, beside=(MINUTE + timedelta(minutes=1),))] == [
        MINUTE + timedelta(minutes=1)
    ]


@pytest.mark.parametrize(("switches", "called"), [({}, True), ({"post": True}, True), ({"post": False}, False)])
def test_a_trigger_stops_only_at_a_switch_that_is_off(switches: dict[str, bool], called: bool) -> None:
    never = DemoTask(id="post", name="", cron="0 0 29 2 *", method="POST", path="/ok", retries=2)
    trigger = DemoTrigger(task_id="post", user_ids=("u",), immediately=True, sent_from=MINUTE, sent_until=MINUTE)

    (job,) = expect(DemoUser(user_id="u", enabled_tasks=switches), task=never, triggers=(trigger,))

    assert job.called is called
    assert job.window == timedelta(0)


@given(
    cron=st.sampled_from(["* * * * *", "*/2 * * * *", "1-59/2 * * * *", "0 0 29 2 *", "15 */6 * * 1-5"]),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
    minutes=st.integers(0, 4 * 365 * 24 * 60),
)
def test_the_little_cron_agrees_with_the_real_one(cron: str, zone: str, minutes: int) -> None:
    # An hour without a change of the clocks around it; what happens in a change is not the demo's business.
    minute = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    if zone == "America/New_York" and minute.month in {3, 11} and minute.weekday() == 6:
        return

    following = Cron(expression=cron, timezone=zone).next_after(minute - timedelta(microseconds=1))

    assert is_due(cron, zone, minute) is (following == minute)


def test_the_inputs_are_what_the_demo_promises() -> None:
    users = demo_users()
    jobs = expected_jobs(TASKS, users, judged=MINUTE, beside=(), triggers=(), window=WINDOW)
    of = {task.id: [job for job in jobs if job.task_id == task.id] for task in TASKS}

    assert len(users) == len({user.user_id for user in users}) >= 300
    assert any(not job.called for job in of[REPORT])
    assert any(len(job.fields) > 1 for job in of[SYNC])
    assert of[BROKEN]
    assert of[CUSTOM]
    assert not of[MANUAL]


def test_a_triggered_user_of_the_inputs_has_the_task_switched_off() -> None:
    users = demo_users()
    off = {user.user_id for user in users if user.enabled_tasks.get(MANUAL) is False}

    assert all(off.intersection(user_ids) for user_ids in triggered_users(users))
