"""The judge of the crashes sees what is wrong: in made-up calls, and in those of schedulers with a mistake built in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskqueue.dev.target import Call
from tests.support import seeded_bugs
from tests.support.failpoints import Failpoint, script
from tests.support.kill_arena import NewArena
from tests.support.kill_points import trigger
from tests.support.ledger import Ledger, Verdict

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DUTY = ("report", "ann", round(AT.timestamp() * 1000))

#: between the confirms of the first piece and its trim
PUBLISHED = Failpoint(target="taskqueue.broker.publisher:Publisher.publish_all", when="after")


def test_a_call_for_each_duty_is_clean() -> None:
    assert judged(call()) == Verdict()


def test_a_duty_without_a_call_is_lost() -> None:
    assert judged() == Verdict(lost=(DUTY,))


def test_a_duty_whose_calls_all_failed_is_lost() -> None:
    assert judged(call(status=500)) == Verdict(lost=(DUTY,))


def test_another_attempt_after_a_failure_is_no_repetition() -> None:
    assert judged(call(status=500), call(attempt=2)) == Verdict()


def test_a_call_after_one_that_succeeded_is_one_too_many() -> None:
    assert judged(call(), call(attempt=2)) == Verdict(twice=(DUTY,))


def test_an_attempt_that_is_made_again_is_one_too_many() -> None:
    assert judged(call(status=500), call()) == Verdict(twice=(DUTY,))


def test_a_job_under_two_ids_is_one_too_many() -> None:
    assert judged(call(status=500), call(attempt=2, job_id="job-2")) == Verdict(twice=(DUTY,))


def test_a_call_for_another_instant_is_unexpected() -> None:
    other = AT.replace(hour=13)

    assert judged(call(), call(at=other)) == Verdict(unexpected=(("report", "ann", round(other.timestamp() * 1000)),))


@pytest.mark.parametrize(
    ("bug", "failpoint"), [("claim_confirms", script("slot_trim", "after", 3)), ("invent_job_ids", PUBLISHED)]
)
async def test_a_crash_of_a_scheduler_with_a_mistake_is_not_clean(
    bug: str, failpoint: Failpoint, new_arena: NewArena
) -> None:
    async with new_arena(environment={seeded_bugs.VARIABLE: bug}) as arena:
        await arena.all_known()
        await arena.crash(failpoint, lambda: trigger(arena), successor=False)
        await arena.settled(within=8)
        verdict = arena.verdict()

    assert bool(verdict.lost) == (bug == "claim_confirms")
    assert bool(verdict.twice) == (bug == "invent_job_ids")


def judged(*calls: Call) -> Verdict:
    ledger = Ledger()
    ledger.expect("report", ["ann"], AT)
    return ledger.judge(calls)


def call(*, status: int = 200, attempt: int = 1, job_id: str = "job-1", at: datetime = AT) -> Call:
    headers = {"task": "report", "user": "ann", "attempt": str(attempt), "scheduled-at": at.isoformat()}
    return Call(
        at=0.0,
        method="POST",
        path="/ok",
        headers={"idempotency-key": job_id, **{f"x-taskqueue-{name}": value for name, value in headers.items()}},
        body=b"",
        status=status,
    )
