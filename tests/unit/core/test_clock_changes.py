from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.clock_changes import (
    YEAR,
    ClockChange,
    clock_changes,
    follows_real_time,
    marks,
    offset_text,
    touched,
    zone_of,
)
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.forecast import next_instants
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import Bounded, Interval
from taskqueue.errors import InvalidValueError

NEW_YORK = "America/New_York"
HOUR = timedelta(hours=1)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
SPRING, AUTUMN = clock_changes(NEW_YORK, JANUARY, JANUARY + YEAR)


def daily(at_time: str, **dst: object) -> Every:
    return Every(
        kind=EveryKind.DAILY,
        value=1,
        at_time=time.fromisoformat(at_time),
        timezone=NEW_YORK,
        dst=Dst(**dst),  # type: ignore[arg-type]  # as the test writes them
    )


def cron(expression: str, **dst: object) -> Cron:
    return Cron(expression=expression, timezone=NEW_YORK, dst=Dst(**dst))  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(("value", "real"), [(1, True), (5, True), (2, False), (24, False)])
def test_an_hourly_rule_without_wall_hours_follows_real_time(value: int, real: bool) -> None:
    rule = Every(kind=EveryKind.HOURLY, value=value, timezone=NEW_YORK)
    assert follows_real_time(rule) is real
    assert follows_real_time(Bounded(interval=rule, start_at=JANUARY)) is real


@pytest.mark.parametrize("rule", [daily("02:30"), cron("* * * * *"), Once(at=JANUARY)])
def test_any_other_rule_is_asked_for_its_wall_times(rule: Interval) -> None:
    assert not follows_real_time(rule)


def words(rule: Interval, change: ClockChange) -> list[str]:
    return [each.said(change) for each in touched(rule, change)]


@settings(max_examples=100, deadline=None)
@given(
    rule=st.one_of(
        st.builds(
            Every,
            kind=st.sampled_from([EveryKind.DAILY, EveryKind.WEEKLY, EveryKind.MONTHLY]),
            value=st.integers(1, 5),
            at_time=st.times().map(lambda at: at.replace(microsecond=0)),
        ),
        st.sampled_from([2, 3, 4, 6, 8, 12, 24]).map(lambda value: Every(kind=EveryKind.HOURLY, value=value)),
        st.sampled_from(["*/17 * * * *", "30 8 * * mon-fri", "0 0 L * *"]).map(lambda text: Cron(expression=text)),
    ),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001  # wall times
    days=st.integers(0, 40),
)
def test_where_no_clock_changes_a_rule_is_due_at_each_wall_time_that_it_names(
    rule: Every | Cron, start: datetime, days: int
) -> None:
    start = start.replace(second=0, microsecond=0)
    end = start + timedelta(days=days)
    due = [at.replace(tzinfo=None) for at in _instants(rule, start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))]
    assert list(rule.walls_between(start, end)) == due


def _instants(rule: Interval, start: datetime, end: datetime) -> list[datetime]:
    found, at = list[datetime](), rule.next_after(start - timedelta.resolution)
    while at is not None and at < end:
        found.append(at)
        at = rule.next_after(at)
    return found


def test_a_year_of_new_york_has_a_gap_and_a_fold() -> None:
    assert (SPRING.kind, SPRING.at, SPRING.before, SPRING.after) == (
        "gap",
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        -5 * HOUR,
        -4 * HOUR,
    )
    assert (AUTUMN.kind, AUTUMN.at) == ("fold", datetime(2026, 11, 1, 6, tzinfo=UTC))


def test_a_change_knows_which_wall_times_it_touches() -> None:
    assert SPRING.walls == (datetime(2026, 3, 8, 2), datetime(2026, 3, 8, 3))  # noqa: DTZ001  # wall times
    assert AUTUMN.walls == (datetime(2026, 11, 1, 1), datetime(2026, 11, 1, 2))  # noqa: DTZ001  # wall times


def test_a_change_at_the_very_end_counts_and_one_at_the_beginning_does_not() -> None:
    assert clock_changes(NEW_YORK, JANUARY, SPRING.at) == (SPRING,)
    assert clock_changes(NEW_YORK, SPRING.at, SPRING.at + HOUR) == ()


def test_a_zone_that_keeps_its_time_has_no_changes() -> None:
    assert clock_changes("Asia/Tokyo", JANUARY, JANUARY + YEAR) == ()


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="unknown"):
        clock_changes("Mars/Olympus", JANUARY, JANUARY + YEAR)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (daily("02:30"), ["02:30 is skipped and runs at 03:00"]),
        (daily("02:30", gap=Gap.SKIP), ["02:30 is skipped and does not run"]),
        (daily("03:30"), []),
        (cron("30 2 * * *"), ["02:30 is skipped and runs at 03:00"]),
        (cron("0 2,3 * * *"), ["02:00 is skipped, and 03:00 runs as always"]),
        (cron("0 2,3 * * *", gap=Gap.SKIP), ["02:00 is skipped, and 03:00 runs as always"]),
        (cron("*/30 * * * *"), [f"02:{minute} is skipped, and 03:00 runs as always" for minute in ("00", "30")]),
        (cron("*/7 2 * * *"), [f"02:{minute:02} is skipped and does not run" for minute in range(0, 60, 7)]),
        (Every(kind=EveryKind.HOURLY, value=2, timezone=NEW_YORK), ["02:00 is skipped and runs at 03:00"]),
        (Every(kind=EveryKind.HOURLY, value=3, timezone=NEW_YORK), []),
        (Every(kind=EveryKind.HOURLY, value=1, timezone=NEW_YORK), []),
        (Every(kind=EveryKind.HOURLY, value=5, timezone=NEW_YORK), []),
        (Once(at=SPRING.at), []),
    ],
    ids=str,
)
def test_what_a_gap_does_to_a_rule(rule: Interval, said: list[str]) -> None:
    assert words(rule, SPRING) == said


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (daily("01:30"), ["01:30 comes twice and runs the first time"]),
        (daily("01:30", fold=Fold.SECOND), ["01:30 comes twice and runs the second time"]),
        (daily("01:30", fold=Fold.BOTH), ["01:30 comes twice and runs both times"]),
        (daily("02:30"), []),
        (cron("*/30 * * * *"), [f"01:{minute} comes twice and runs both times" for minute in ("00", "30")]),
        (Every(kind=EveryKind.HOURLY, value=1, timezone=NEW_YORK), []),
        (Bounded(interval=daily("01:30"), end_at=AUTUMN.at - 2 * HOUR), []),
    ],
    ids=str,
)
def test_what_a_fold_does_to_a_rule(rule: Interval, said: list[str]) -> None:
    assert words(rule, AUTUMN) == said


def shown(rule: Interval, after: datetime, count: int) -> list[tuple[str, tuple[str, ...]]]:
    instants = next_instants(rule, after, count)
    times = [f"{instant:%d %H:%M}" for instant in instants]
    return list(zip(times, marks(rule, instants, after), strict=True))


def test_marks_tell_of_a_run_that_a_gap_has_moved_and_of_the_new_offset() -> None:
    assert shown(daily("02:30"), SPRING.at - 30 * HOUR, 3) == [
        ("07 07:30", ()),
        ("08 07:00", ("02:30 is skipped and runs at 03:00", "offset -05:00 to -04:00")),
        ("09 06:30", ()),
    ]


def test_marks_tell_of_a_run_that_a_gap_has_left_out_at_the_one_behind_it() -> None:
    assert shown(daily("02:30", gap=Gap.SKIP), SPRING.at - HOUR, 1) == [
        ("09 06:30", ("02:30 is skipped and does not run", "offset -05:00 to -04:00"))
    ]


def test_marks_count_the_runs_that_a_gap_has_left_out() -> None:
    (first,) = shown(cron("*/15 * * * *"), SPRING.at - HOUR / 4, 1)
    assert first[1][:2] == ("02:00 is skipped, and 03:00 runs as always", "3 more are skipped")


def test_marks_tell_the_two_passes_of_a_fold_apart() -> None:
    assert shown(daily("01:30", fold=Fold.BOTH), AUTUMN.at - HOUR, 2) == [
        ("01 05:30", ("01:30 comes twice: the first time",)),
        ("01 06:30", ("offset -04:00 to -05:00", "01:30 comes twice: the second time")),
    ]


def test_the_zone_of_one_instant_is_utc_and_that_of_a_bounded_rule_its_own() -> None:
    assert zone_of(Once(at=JANUARY)) == "UTC"
    assert zone_of(Bounded(interval=daily("01:30"), start_at=JANUARY)) == NEW_YORK


@pytest.mark.parametrize(
    ("offset", "text"),
    [(timedelta(0), "+00:00"), (timedelta(minutes=-210), "-03:30"), (timedelta(seconds=1172), "+00:19:32")],
)
def test_offsets_are_written_as_in_rfc_3339(offset: timedelta, text: str) -> None:
    assert offset_text(offset) == text
