"""The judge of the chaos sees what is wrong, and takes no crash's consequence for a mistake."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from taskqueue.dev.target import Call
from tests.support.chaos_model import ChaosModel, Limited, TaskModel, Timeline, Trouble

#: an instant, in unix seconds, and when the judge looks
AT, END = 1_795_300_000, 1_795_300_100


@pytest.fixture
def model() -> ChaosModel:
    """A task of one user at one instant."""
    task = TaskModel(switches={"ann": Timeline(first=True)}, instants={"ann": Timeline(first=frozenset({AT}))})
    return ChaosModel(tasks={"report": task})


def test_a_call_at_the_instant_is_clean(model: ChaosModel) -> None:
    assert model.judge([call(AT)], END).clean


def test_who_was_not_called_is_lost(model: ChaosModel) -> None:
    assert len(model.judge([], END).verdict.lost) == 1


def test_who_was_switched_off_late_may_be_called_or_not(model: ChaosModel) -> None:
    model.tasks["report"].switches["ann"].change(AT + 5, AT + 5, value=False)

    assert model.judge([], END).clean
    assert model.judge([call(AT)], END).clean


def test_a_call_long_after_the_user_was_switched_off_is_wrong(model: ChaosModel) -> None:
    model.tasks["report"].switches["ann"].change(AT - 10, AT - 10, value=False)

    assert "off since" in model.judge([call(AT)], END).wrong[0]


def test_a_call_before_the_instant_is_wrong(model: ChaosModel) -> None:
    assert "before its instant" in model.judge([call(AT - 1)], END).wrong[0]


def test_a_second_call_is_one_too_many_unless_the_first_worker_died_of_it(model: ChaosModel) -> None:
    calls = [call(AT), call(AT + 15)]
    excused_nobody = model.judge(calls, END)
    model.workers.append(Trouble(since=AT - 1, until=AT + 1))

    assert len(excused_nobody.verdict.twice) == 1
    assert model.judge(calls, END).clean


def test_a_task_that_was_gone_all_the_time_calls_nobody(model: ChaosModel) -> None:
    model.tasks["report"].present.change(AT - 100, AT - 90, value=False)

    assert model.judge([], END).clean
    assert len(model.judge([call(AT)], END).verdict.unexpected) == 1


def test_parameters_that_were_replaced_before_the_plan_are_wrong(model: ChaosModel) -> None:
    model.tasks["report"].parameters["ann"] = words = Timeline[str | None](first="old")
    words.change(AT - 90, AT - 90, "new")

    assert model.judge([call(AT, word="new")], END).clean
    assert "called with old" in model.judge([call(AT, word="old")], END).wrong[0]


def test_a_call_under_a_limit_of_nothing_is_wrong(model: ChaosModel) -> None:
    model.limited.append(Limited(name="global", since=AT - 10, at=AT - 10, until=AT + 10, rate=0))
    calls = [call(AT + second) for second in range(3)]

    assert any("under Limited" in wrong for wrong in model.judge(calls, END).wrong)


def call(at: float, *, word: str | None = None) -> Call:
    scheduled_at = datetime.fromtimestamp(AT, UTC).isoformat()
    headers = {"task": "report", "user": "ann", "attempt": "1", "scheduled-at": scheduled_at}
    return Call(
        at=at,
        method="POST",
        path="/ok",
        headers={"idempotency-key": "job", **{f"x-taskqueue-{name}": value for name, value in headers.items()}},
        body=json.dumps({"user_id": "ann", **({"parameters": {"word": word}} if word else {})}).encode(),
        status=200,
    )
