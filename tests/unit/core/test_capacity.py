from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.capacity import (
    Demand,
    Finding,
    RateLimit,
    Severity,
    judge,
    judge_together,
    not_judged,
    number,
    of_calls,
    said,
)
from taskqueue.core.forecast import Fire, Load
from tests.support.loads import AT, load_of

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def demand_of(
    users: int, window: timedelta = 10 * MINUTE, interval: timedelta | None = DAY, max_age: timedelta = DAY
) -> Demand:
    return Demand(users=users, fire=Fire(at=AT, window=window, interval=interval), max_age=max_age)


def judged(users: int, limit: RateLimit, **others: timedelta) -> list[Finding]:
    finding = judge("report", demand_of(users, **others), limit)
    return [] if finding is None else [finding]


def judged_together(load: Load, limit: RateLimit, max_age: timedelta = DAY) -> Finding | None:
    return judge_together(None, load, limit, "all tasks", {max_age: load})


def test_jobs_that_cannot_leave_within_their_window_are_refused_with_the_number_that_breaks() -> None:
    (finding,) = judged(12_000, RateLimit(name="rate_limit", rate=10, burst=10))
    assert finding == Finding(
        severity=Severity.REFUSED,
        task_id="report",
        text="12,000 users / 600 s = 20/s > rate_limit 10/s: needs 20 min, the window is 10 min",
        limit="rate_limit",
    )


def test_a_rate_of_just_users_by_window_suffices() -> None:
    assert judged(6000, RateLimit(name="rate_limit", rate=10)) == []


def test_what_leaves_at_once_needs_no_rate() -> None:
    limit = RateLimit(name="rate_limit", rate=10, burst=50)
    assert judged(6050, limit) == []
    assert len(judged(6051, limit)) == 1


def test_where_nothing_is_spread_the_next_occurrence_is_the_deadline() -> None:
    limit = RateLimit(name="rate_limit", rate=1)
    assert judged(3600, limit, window=timedelta(0), interval=HOUR) == []
    (finding,) = judged(7200, limit, window=timedelta(0), interval=HOUR)
    assert finding.text == "7,200 users / 3,600 s = 2/s > rate_limit 1/s: needs 2 h, the interval is 1 h"


def test_an_only_occurrence_that_is_not_spread_has_until_its_jobs_expire() -> None:
    demand = demand_of(90_000, window=timedelta(0), interval=None)
    assert judge("report", demand, RateLimit(name="rate_limit", rate=2)) is None
    finding = judge("report", demand, RateLimit(name="rate_limit", rate=1))
    assert finding is not None
    assert "needs 1 d 1 h, max_age is 1 d" in finding.text


def test_jobs_that_are_not_spread_and_would_expire_before_their_turn_are_refused() -> None:
    limit = RateLimit(name="rate_limit", rate=10, burst=10)
    assert judged(110, limit, window=timedelta(0), max_age=10 * SECOND) == []
    (finding,) = judged(300, limit, window=timedelta(0), max_age=10 * SECOND)
    assert finding.severity is Severity.REFUSED
    assert finding.text == (
        "300 users / 10 s = 30/s > rate_limit 10/s: needs 30 s, max_age is 10 s; "
        "jobs that wait for longer than max_age, 10 s, fail as expired"
    )


def test_max_age_counts_from_the_instant_at_which_a_job_of_a_window_is_due() -> None:
    (finding,) = judged(12_000, RateLimit(name="rate_limit", rate=10), max_age=11 * MINUTE)
    assert "expired" not in finding.text
    (finding,) = judged(12_000, RateLimit(name="rate_limit", rate=10), max_age=9 * MINUTE)
    assert finding.text.endswith("max_age, 9 min, fail as expired")


def test_calls_whose_duration_nobody_knows_are_told_how_long_they_may_take() -> None:
    finding = not_judged("report", demand_of(20_000, window=30 * SECOND), 1)
    assert finding.severity is Severity.WARNING
    assert finding.text == (
        "max_concurrency 1 is not judged, for no call was made yet: 20,000 users / 30 s need calls of at most 1.5 ms "
        "on the average"
    )


def test_a_task_without_users_needs_nothing() -> None:
    assert judged(0, RateLimit(name="rate_limit", rate=0)) == []


def test_jobs_that_wait_for_longer_than_max_age_are_said_to_expire() -> None:
    (finding,) = judged(2_000_000, RateLimit(name="rate_limit", rate=10))
    assert finding.text.endswith(
        "needs 2 d 7 h, the window is 10 min; jobs that wait for longer than max_age, 1 d, fail as expired"
    )


def test_a_limit_of_zero_lets_nothing_leave() -> None:
    (finding,) = judged(5, RateLimit(name="rate_limit", rate=0, burst=10))
    assert "> rate_limit 0/s: never ends, the window is 10 min" in finding.text


def test_a_limit_that_passes_only_warns_and_says_why() -> None:
    (finding,) = judged(12_000, RateLimit(name="rate_limit", rate=10, reason="set until noon", passing=True))
    assert finding.severity is Severity.WARNING
    assert "rate_limit 10/s (set until noon)" in finding.text


def test_calls_at_a_time_are_a_rate_by_how_long_one_takes() -> None:
    limit = of_calls("max_concurrency", 5, 2 * SECOND)
    assert (limit.rate, limit.burst) == (2.5, 5)
    assert limit.said == "max_concurrency 2.5/s (5 at a time, 2 s each)"


def test_tasks_that_fit_in_one_by_one_are_too_many_together() -> None:
    load = load_of((HOUR, 10 * MINUTE, 6000), (HOUR, 10 * MINUTE, 6000))
    finding = judged_together(load, RateLimit(name="rate_limit.global", rate=10, burst=10))
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert finding.text == (
        "all tasks: together more than rate_limit.global 10/s: up to 9 min 59 s late, worst at 2026-03-02T01:09:50Z"
    )


def test_tasks_whose_jobs_expire_behind_others_are_refused() -> None:
    load = load_of((HOUR, 10 * MINUTE, 6000), (HOUR, 10 * MINUTE, 6000))
    limit = RateLimit(name="rate_limit.global", rate=10, burst=10)
    finding = judged_together(load, limit, MINUTE)
    assert finding is not None
    assert finding.severity is Severity.REFUSED
    assert finding.text.endswith(
        "up to 9 min 59 s late, worst at 2026-03-02T01:09:50Z; jobs that wait for longer than max_age, 1 min, fail as "
        "expired, most from 2026-03-02T01:09:50Z on"
    )
    passing = RateLimit(name="rate_limit.global", rate=10, burst=10, passing=True)
    warned = judged_together(load, passing, MINUTE)
    assert warned is not None
    assert warned.severity is Severity.WARNING


def test_occurrences_that_are_not_spread_fall_behind_by_the_second() -> None:
    load = load_of((HOUR, timedelta(0), 100), (HOUR, timedelta(0), 100))
    finding = judged_together(load, RateLimit(name="rate_limit.global", rate=10, burst=1), 15 * SECOND)
    assert finding is not None
    assert finding.severity is Severity.REFUSED
    assert "up to 19 s late, worst at 2026-03-02T01:00:00Z" in finding.text
    patient = judged_together(load, RateLimit(name="rate_limit.global", rate=10, burst=1), MINUTE)
    assert patient is not None
    assert patient.severity is Severity.WARNING


def test_what_is_late_by_less_than_anybody_notices_is_told_where_it_expires() -> None:
    load = load_of((HOUR, timedelta(0), 40), (HOUR, timedelta(0), 40))
    limit = RateLimit(name="rate_limit.global", rate=10, burst=1)
    assert judged_together(load, limit, MINUTE) is None
    finding = judged_together(load, limit, 5 * SECOND)
    assert finding is not None
    assert finding.severity is Severity.REFUSED


def test_a_short_max_age_counts_only_while_jobs_that_have_it_wait() -> None:
    short = load_of((5 * HOUR, 10 * MINUTE, 600))
    load = load_of((HOUR, 10 * MINUTE, 12_000))
    ages = {DAY: load_of((HOUR, 10 * MINUTE, 12_000)), MINUTE: short}
    load.merge(short)
    finding = judge_together(None, load, RateLimit(name="rate_limit.global", rate=10), "all tasks", ages)
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert "expired" not in finding.text


def test_what_the_day_has_no_room_for_is_refused() -> None:
    load = load_of(*((number * HOUR, HOUR, 36_000) for number in range(24)))
    finding = judged_together(load, RateLimit(name="rate_limit.global", rate=5))
    assert finding is not None
    assert finding.severity is Severity.REFUSED
    assert finding.text == "all tasks: 864,000 calls in 24 h > rate_limit.global 5/s, which lets 432,000 start"


@pytest.mark.parametrize("rate", [10.0, 0.0])
def test_nothing_is_said_of_what_fits_or_was_told_of_each_task(rate: float) -> None:
    load = load_of((HOUR, 10 * MINUTE, 6000))
    assert judged_together(load, RateLimit(name="rate_limit.global", rate=rate, burst=10)) is None


@pytest.mark.parametrize(
    ("value", "text"), [(20.0, "20"), (2.5, "2.5"), (1234.5, "1,234"), (0.25, "0.25"), (0.0033333, "0.00333")]
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0 s"),
        (1.5 * SECOND, "1.5 s"),
        (45 * SECOND, "45 s"),
        (20 * MINUTE, "20 min"),
        (2 * HOUR + 5 * MINUTE + SECOND, "2 h 5 min"),
        (DAY + 5 * MINUTE, "1 d"),
        (59.9 * SECOND, "1 min"),
    ],
)
def test_durations_have_two_units_at_most(duration: timedelta, text: str) -> None:
    assert said(duration) == text
