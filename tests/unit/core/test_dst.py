from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from taskqueue.core import cron as cron_module
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap, Walls, next_fixed_time
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Interval


def texts(interval: Interval, after: str, count: int) -> list[str]:
    instant = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found: list[str] = []
    while len(found) < count:
        due = interval.next_after(instant)
        assert due is not None
        assert due > instant
        found.append(f"{due:%m-%dT%H:%M}")
        instant = due
    return found


def new_york_daily(hour: int, dst: Dst) -> Every:
    return Every(kind=EveryKind.DAILY, value=1, timezone="America/New_York", at_time=time(hour, 30), dst=dst)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (Gap.RUN_AFTER, ["03-07T07:30", "03-08T07:00", "03-09T06:30"]),
        (Gap.SKIP, ["03-07T07:30", "03-09T06:30", "03-10T06:30"]),
    ],
)
def test_a_skipped_wall_time_runs_after_the_gap_or_not(gap: Gap, expected: list[str]) -> None:
    assert texts(new_york_daily(2, Dst(gap=gap)), "2026-03-07T00:00", 3) == expected


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (Fold.FIRST, ["10-31T05:30", "11-01T05:30", "11-02T06:30"]),
        (Fold.SECOND, ["10-31T05:30", "11-01T06:30", "11-02T06:30"]),
        (Fold.BOTH, ["10-31T05:30", "11-01T05:30", "11-01T06:30"]),
    ],
)
def test_a_repeated_wall_time_runs_the_first_the_second_or_both_times(fold: Fold, expected: list[str]) -> None:
    assert texts(new_york_daily(1, Dst(fold=fold)), "2026-10-31T00:00", 3) == expected


def test_wall_times_that_are_repeated_together_come_in_the_order_of_real_time() -> None:
    cron = Cron(expression="10,50 1 * * *", timezone="America/New_York", dst=Dst(fold=Fold.BOTH))
    assert texts(cron, "2026-11-01T04:00", 4) == ["11-01T05:10", "11-01T05:50", "11-01T06:10", "11-01T06:50"]


def test_asked_in_the_middle_of_the_first_pass_the_second_is_still_to_come() -> None:
    cron = Cron(expression="10 1 * * *", timezone="America/New_York", dst=Dst(fold=Fold.SECOND))
    assert texts(cron, "2026-11-01T05:40", 1) == ["11-01T06:10"]


def test_the_second_pass_begins_at_the_very_minute_to_which_the_clock_is_put_back() -> None:
    cron = Cron(expression="0 1 * * *", timezone="America/New_York", dst=Dst(fold=Fold.SECOND))
    assert texts(cron, "2026-11-01T05:40", 1) == ["11-01T06:00"]


def test_a_whole_day_that_is_skipped_is_left_out() -> None:
    apia = Every(kind=EveryKind.DAILY, value=1, timezone="Pacific/Apia", at_time=time(8), dst=Dst(gap=Gap.SKIP))
    assert texts(apia, "2011-12-29T00:00", 2) == ["12-29T18:00", "12-30T18:00"]


def test_a_rule_that_is_due_at_the_gaps_end_anyway_runs_then_also_when_it_skips() -> None:
    cron = Cron(expression="30 2,3 * * *", timezone="America/New_York", dst=Dst(gap=Gap.SKIP))
    assert texts(cron, "2026-03-08T00:00", 1) == ["03-08T07:30"]
    hourly = Cron(expression="0 2,3 * * *", timezone="America/New_York", dst=Dst(gap=Gap.SKIP))
    assert texts(hourly, "2026-03-08T00:00", 1) == ["03-08T07:00"]


@pytest.mark.parametrize("fold", Fold)
def test_away_from_clock_changes_the_choices_make_no_difference(fold: Fold) -> None:
    start, usual = datetime(2026, 6, 1, tzinfo=UTC), new_york_daily(1, Dst())
    chosen = new_york_daily(1, Dst(gap=Gap.SKIP, fold=fold))
    for hours in range(100):
        assert chosen.next_after(start + timedelta(hours=hours)) == usual.next_after(start + timedelta(hours=hours))


def test_that_every_wall_time_to_come_is_skipped_is_found_out_once_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[datetime] = []

    def counted(walls: Walls, after: datetime, zone: ZoneInfo, dst: Dst) -> datetime | None:
        searches.append(after)
        return next_fixed_time(walls, after, zone, dst)

    monkeypatch.setattr(cron_module, "next_fixed_time", counted)
    sundays_of_the_gap = Cron(expression="31 2 8-14 3 */7", timezone="America/New_York", dst=Dst(gap=Gap.SKIP))
    for month in range(1, 13):
        assert sundays_of_the_gap.next_after(datetime(2026, month, 1, tzinfo=UTC)) is None
    assert len(searches) == 1


def test_a_gap_is_left_at_once_however_many_of_its_wall_times_the_rule_names() -> None:
    looked_at = list[datetime]()

    def each_minute(wall: datetime) -> Iterator[datetime]:
        minute = wall.replace(second=0, microsecond=0)
        while True:
            minute += timedelta(minutes=1)
            looked_at.append(minute)
            yield minute

    before, apia = datetime(2011, 12, 30, 9, 59, tzinfo=UTC), ZoneInfo("Pacific/Apia")
    due = next_fixed_time(each_minute, before, apia, Dst(gap=Gap.SKIP))
    assert due == before + timedelta(minutes=1)
    assert len(looked_at) == 2  # of the 1440 of a whole day that is skipped the first, and what comes behind it


def test_a_rule_goes_on_after_a_year_in_which_its_only_wall_time_was_skipped() -> None:
    # Bogota put its clocks forward once: the first hour of 3 May 1992 was skipped.
    bogota = Cron(expression="30 0 3 5 *", timezone="America/Bogota", dst=Dst(gap=Gap.SKIP))
    assert bogota.next_after(datetime(1991, 6, 1, tzinfo=UTC)) == datetime(1993, 5, 3, 5, 30, tzinfo=UTC)
