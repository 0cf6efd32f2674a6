from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.store.task_stats import Ends, TaskStats

NONE = Ends()


def stats_of(*durations_ms: int) -> TaskStats:
    return TaskStats(ends=NONE, last_days=NONE, durations_ms=tuple(sorted(durations_ms)))


@pytest.mark.parametrize(
    ("share", "duration_ms"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)], ids=["p50", "p95", "p99", "longest"]
)
def test_a_quantile_is_the_duration_that_this_share_did_not_exceed(share: float, duration_ms: int) -> None:
    assert stats_of(*range(1, 101)).quantile_ms(share) == duration_ms


@given(st.lists(st.integers(0, 900_000), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_one_of_the_durations_and_at_least_its_share_is_no_longer(
    durations: list[int], share: float
) -> None:
    quantile = stats_of(*durations).quantile_ms(share)

    assert quantile in durations
    assert sum(duration <= quantile for duration in durations if quantile is not None) >= share * len(durations)


def test_without_calls_there_is_no_average_and_no_quantile() -> None:
    assert (stats_of().average_ms, stats_of().quantile_ms(0.5)) == (None, None)


def test_cancelled_and_skipped_executions_do_not_count_in_the_rate_of_success() -> None:
    assert Ends(total=105, success=98, failed=2).success_rate == 0.98


def test_without_success_and_failure_there_is_no_rate() -> None:
    assert Ends(total=3).success_rate is None
