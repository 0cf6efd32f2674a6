import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.histogram import LEAST_S, MOST_S, Histogram

SECONDS = st.floats(LEAST_S, MOST_S)


def histogram_of(*values: float) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    return histogram


@given(values=st.lists(SECONDS, min_size=1, max_size=200), share=st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_to_half_a_bucket(values: list[float], share: float) -> None:
    exact = sorted(values)[math.ceil(len(values) * share) - 1]

    assert histogram_of(*values).quantile(share) == pytest.approx(exact, rel=0.026)


@given(parts=st.lists(st.lists(SECONDS, max_size=30), max_size=5))
def test_parts_together_are_as_the_whole(parts: list[list[float]]) -> None:
    together = Histogram.together(histogram_of(*part) for part in parts)
    whole = histogram_of(*(value for part in parts for value in part))

    assert (together.count, together.largest) == (whole.count, whole.largest)
    assert [together.quantile(share) for share in (0.5, 0.99)] == [whole.quantile(share) for share in (0.5, 0.99)]


def test_together_is_not_the_mean_of_the_parts() -> None:
    busy, slow = histogram_of(*[0.01] * 990), histogram_of(*[10.0] * 10)
    median = Histogram.together((busy, slow)).quantile(0.5)

    assert median == pytest.approx(0.01, rel=0.026)
    assert statistics.mean([busy.quantile(0.5) or 0, slow.quantile(0.5) or 0]) > 4


def test_without_values_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


@pytest.mark.parametrize("value", [-3.0, 0.0, LEAST_S / 2])
def test_what_is_below_the_least_counts_as_nothing(value: float) -> None:
    assert histogram_of(value).quantile(1.0) == pytest.approx(0, abs=LEAST_S)


def test_what_is_above_the_most_counts_as_that_much() -> None:
    assert histogram_of(MOST_S * 10).quantile(0.5) == pytest.approx(MOST_S, rel=0.026)


def test_no_quantile_exceeds_the_largest_value() -> None:
    assert (histogram_of(1.0).quantile(0.99) or 0) <= 1.0
