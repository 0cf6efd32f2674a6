import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.sliding import SlidingCount, SlidingHistogram

STEPS = st.lists(st.floats(0, 8), max_size=100)


@given(steps=STEPS)
def test_the_count_is_that_of_the_seconds_it_says_it_covers(steps: list[float]) -> None:
    sliding = SlidingCount(10)
    instants = [1000.0]
    for step in steps:
        instants.append(instants[-1] + step)
        sliding.add(instants[-1])
    now = instants[-1]

    covered_s = sliding.covered_s(now)
    certain = sum(now - at < covered_s - 1e-6 for at in instants[1:])
    possible = sum(now - at < covered_s + 1e-6 for at in instants[1:])

    assert certain <= sliding.count(now) <= possible
    assert 9.9 - 1e-6 <= covered_s <= 10 + 1e-6


def test_a_count_needs_no_more_memory_for_more() -> None:
    sliding = SlidingCount(10)
    for number in range(5000):
        sliding.add(number / 100)

    assert len(sliding._counts) == SlidingCount.SLICES
    assert sliding.count(49.99) == pytest.approx(1000, rel=0.01)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    sliding = SlidingCount(10)
    sliding.add(1000)

    assert (sliding.count(1009.8), sliding.count(1010.1)) == (1, 0)


def test_a_place_that_was_used_before_begins_anew() -> None:
    sliding = SlidingCount(10)
    sliding.add(1000)
    sliding.add(1010)

    assert sliding.count(1010) == 1


@pytest.mark.parametrize(("age_s", "count"), [(0, 1), (299, 1), (361, 0)])
def test_a_value_is_there_for_the_window_and_a_fifth_more_at_most(age_s: float, count: int) -> None:
    sliding = SlidingHistogram(300)
    sliding.observe(1000, 0.2)

    assert sliding.recent(1000 + age_s).count == count


def test_the_recent_values_make_one_histogram() -> None:
    sliding = SlidingHistogram(300)
    for second in range(3000):
        sliding.observe(second, 0.1 if second < 2700 else 5.0)

    assert sliding.recent(2999).quantile(0.5) == pytest.approx(5, rel=0.026)
