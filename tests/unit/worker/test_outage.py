"""An endpoint that is down for an hour: left alone meanwhile, and not run over when it is back."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from taskqueue.core.host_limit import LONGEST_CLOSED_S, LONGEST_RAMP_S
from taskqueue.core.retry import RetryPolicy
from tests.support.outage import Endpoint, Outage

MINUTE, HOUR = 60, 3600

#: 10,000 jobs, evenly over an hour and a bit: what the endpoint got per second before its trouble
JOBS, JOBS_PER_S = 10_000, 2.5
DUE = [number / JOBS_PER_S for number in range(JOBS)]

DOWN, BACK = 5 * MINUTE, 5 * MINUTE + HOUR
WORKERS, HANDS = 2, 10
RATE = 50

#: as worker.yaml has it when it says nothing
POLICY = RetryPolicy(
    retries=3,
    base_delay=timedelta(minutes=1),
    max_delay=timedelta(hours=1),
    retry_unknown=True,
    max_age=timedelta(days=1),
)


@pytest.fixture(scope="module", params=[RATE, None], ids=["limited", "unlimited"])
async def outage(request: pytest.FixtureRequest) -> Outage:
    """An outage with a limit of the task, and one in which nothing but the workers' hands limits it."""
    endpoint = Endpoint(down_from=DOWN, back_at=BACK)
    outage = Outage(endpoint, POLICY, rate=request.param, workers=WORKERS, hands=HANDS)
    await outage.run(DUE, until=BACK + HOUR)
    return outage


def back_at(outage: Outage) -> float:
    """Return when the first call was answered again."""
    return min(call.at for call in outage.calls if call.good and call.at >= BACK)


async def test_every_job_ends_well_and_is_called_no_more_often_than_its_task_says(outage: Outage) -> None:
    assert len(outage.ended) == JOBS
    assert Counter(end.how for end in outage.ended.values()) == {"success": JOBS}
    assert Counter(call.job for call in outage.calls).most_common(1)[0][1] <= 1 + POLICY.retries


async def test_few_attempts_are_spent_on_an_endpoint_that_is_down(outage: Outage) -> None:
    refused = [call for call in outage.calls if not call.good]
    found_out = [call for call in refused if call.at < DOWN + MINUTE]
    assert len(found_out) <= 2 * WORKERS * HANDS
    # A closing is shortened by up to a half.
    assert len(refused) - len(found_out) <= HOUR / (LONGEST_CLOSED_S / 2)
    assert sum(end.calls - 1 for end in outage.ended.values()) == len(refused)


async def test_an_endpoint_that_is_down_gets_one_call_at_a_time_once_that_is_known(outage: Outage) -> None:
    known = outage.per_second(good=False)
    assert max(calls for second, calls in known.items() if second > DOWN + 30) == 1


async def test_its_return_is_noticed_within_a_minute(outage: Outage) -> None:
    assert back_at(outage) - BACK <= LONGEST_CLOSED_S


async def test_no_second_after_its_return_has_more_calls_than_the_limit_lets_through(outage: Outage) -> None:
    if outage.rate is not None:
        # The bucket holds a second's worth, which may go out at once.
        assert max(outage.per_second().values()) <= 2 * outage.rate
        spent = sorted(call.at for call in outage.calls if call.at >= BACK)
        assert all(spent[i + 10 * RATE] - spent[i] >= 9 for i in range(len(spent) - 10 * RATE))


async def test_its_return_is_a_ramp_and_not_a_step(outage: Outage) -> None:
    back = back_at(outage)
    calls = Counter(int(call.at - back) for call in outage.calls if call.at >= back)
    full = max(calls.values())
    assert calls[0] <= 10 * JOBS_PER_S, "a second of calls as before, with ten times as much at most for the backlog"
    if outage.rate is None:
        for second in range(int(LONGEST_RAMP_S)):
            assert calls[second] <= full * (second + 3) / LONGEST_RAMP_S, f"{calls[second]} calls in second {second}"


async def test_an_endpoint_that_is_back_with_half_its_strength_is_not_pushed_over() -> None:
    back = DOWN + 10 * MINUTE
    outage = Outage(Endpoint(down_from=DOWN, back_at=back, most=WORKERS * HANDS / 2), POLICY)
    await outage.run(DUE[: JOBS // 5], until=HOUR)

    assert Counter(end.how for end in outage.ended.values()) == {"success": JOBS // 5}
    refused = [call for call in outage.calls if call.at >= back and not call.good]
    assert len(refused) <= 0.1 * JOBS / 5
