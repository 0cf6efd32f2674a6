from __future__ import annotations

import copy
import sys
from calendar import monthrange
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.core.dst import DEFAULT_DST, Dst, Fold, Gap
from taskqueue.errors import InvalidValueError
from tests.support import wall_rules
from tests.support.minute_oracle import CLOCK_CHANGES, due_instants, real_minutes

DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(cron: Cron, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    instant = cron.next_after(after)
    while instant is not None and instant <= until:
        assert instant > after
        found.append(instant)
        after, instant = instant, cron.next_after(instant)
    return found


def texts(expression: str, after: str, until: str, timezone: str = "UTC") -> list[str]:
    found = runs(Cron(expression=expression, timezone=timezone), utc(after), utc(until))
    return [f"{instant:%Y-%m-%dT%H:%M}" for instant in found]


def refusal(expression: str) -> str | None:
    """Return why `expression` is refused, or None when it is not."""
    try:
        Cron(expression=expression)
    except InvalidValueError as error:
        return str(error)
    return None


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, favourites: tuple[int, ...]) -> str:
    """One field of an expression; its numbers are often `favourites`."""

    def item() -> str:
        first = draw(st.sampled_from(favourites) | st.integers(low, high))
        match draw(st.sampled_from(["value", "value", "range", "stepped range", "open steps", "step"])):
            case "range" if first < high:
                return f"{first}-{draw(st.integers(first + 1, high))}"
            case "stepped range" if first < high:
                return f"{first}-{draw(st.integers(first + 1, high))}/{draw(st.integers(1, high))}"
            case "open steps" if first < high:
                # On a weekday they must not reach day 7.
                steps = [step for step in range(1, high + 1) if high != 7 or first == 0 or (7 - first) % step]
                return f"{first}/{draw(st.sampled_from(steps))}"
            case "step":
                return f"*/{draw(st.integers(1, high))}"
            case _:
                return str(first)

    items = [item() for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3])))]
    return ",".join(sorted(items, key=lambda text: not text.startswith("*")))


minute_fields = st.sampled_from(["0", "30", "*", "*/15", "59"]) | fields(0, 59, (0, 1, 15, 30, 45, 59))
hour_fields = st.sampled_from(["0", "1", "2", "3", "23", "*", "*/2"]) | fields(0, 23, (0, 1, 2, 3, 22, 23))
day_fields = st.sampled_from(["*", "*", "1", "31"]) | fields(1, 31, (1, 28, 29, 30, 31))
month_fields = st.sampled_from(["*", "*", "2"]) | fields(1, 12, (2, 4, 12))
dsts = st.builds(Dst, gap=st.sampled_from(Gap), fold=st.sampled_from(Fold))
weekday_fields = st.sampled_from(["*", "*", "0", "7", "1-5"]) | fields(0, 7, (0, 1, 6, 7))


@settings(deadline=None)  # the first look at a clock's minutes takes longer than the others
@given(data=st.data(), change=st.sampled_from(CLOCK_CHANGES), minute=minute_fields, hour=hour_fields)
def test_around_clock_changes_it_runs_when_an_oracle_over_real_minutes_does(
    data: st.DataObject, change: tuple[str, date], minute: str, hour: str
) -> None:
    zone, day = change
    days = data.draw(st.sampled_from(["* * *", "* * 0", f"{day.day} * *", f"{day.day},1 {day.month} *"]))
    expression = f"{minute} {hour} {days}"
    minutes = real_minutes(zone, day)
    real_time = "*" in {minute[0], hour[0]}
    dst = DEFAULT_DST if real_time else data.draw(dsts)
    expected = due_instants(
        minutes,
        wall_rules.cron(expression),
        after_a_gap=not real_time and dst.gap is Gap.RUN_AFTER,
        fold="both" if real_time else dst.fold.value,
    )[:100]
    until = expected[-1] if len(expected) == 100 else minutes[-1].instant
    assert runs(Cron(expression=expression, timezone=zone, dst=dst), minutes[0].instant, until) == expected


@given(day=day_fields, month=month_fields, weekday=weekday_fields, start=st.dates(date(1971, 1, 1), date(2090, 1, 1)))
def test_its_days_are_those_of_a_calendar_read_day_by_day(day: str, month: str, weekday: str, start: date) -> None:
    expression = f"0 12 {day} {month} {weekday}"
    matches = wall_rules.cron(expression)
    noon = datetime.combine(start, time(12), tzinfo=UTC)
    expected = next((noon + n * DAY for n in range(1, 1500) if matches(noon + n * DAY)), None)
    if expected is not None:
        assert Cron(expression=expression).next_after(noon) == expected
    elif (reason := refusal(expression)) is not None:
        assert "never fires" in reason
    else:
        found = Cron(expression=expression).next_after(noon)
        assert found is not None
        assert found > noon + 1499 * DAY


@given(text=st.text("0123456789*,-/?#LWHRlwhr@ adefimnostu\t\n", max_size=40) | st.text(max_size=300))
def test_any_text_is_an_expression_or_refused_for_a_reason(text: str) -> None:
    reason = refusal(text)
    if reason is None:
        assert Cron(expression=text).next_after(utc("2024-01-01T00:00")) is not None
    else:
        assert reason.startswith("cron")


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # put forward at 02:00: 02:30 does not exist and runs at 03:00
        ("America/New_York", "30 2 * * *", "2026-03-08T00:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
        # put back at 02:00: 01:30 comes twice and runs the first time
        ("America/New_York", "30 1 * * *", "2026-11-01T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        # two skipped wall times are one run
        ("America/New_York", "0,30 2 * * *", "2026-03-08T00:00", ["2026-03-08T07:00", "2026-03-09T06:00"]),
        # every half hour is every half hour
        ("Europe/London", "*/30 1 * * *", "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T01:00"]),
        # what follows real time is not made up for
        ("Europe/London", "*/30 1 * * *", "2026-03-28T12:00", ["2026-03-30T00:00", "2026-03-30T00:30"]),
        # midnight is skipped
        ("America/Havana", "0 0 * * *", "2026-03-08T00:00", ["2026-03-08T05:00", "2026-03-09T04:00"]),
        # midnight comes once only, at the end of the longer day
        ("Africa/Cairo", "0 0 * * *", "2026-10-29T00:00", ["2026-10-29T22:00", "2026-10-30T22:00"]),
        # 30 December does not exist
        ("Pacific/Apia", "0 8 * * *", "2011-12-29T12:00", ["2011-12-29T18:00", "2011-12-30T10:00"]),
    ],
)
def test_where_the_clock_changes_a_fixed_time_runs_once(
    zone: str, expression: str, after: str, expected: list[str]
) -> None:
    assert texts(expression, after, expected[-1], zone) == expected


def test_the_api_documents_example_runs_at_midnight_in_new_york() -> None:
    cron = Cron(expression="0 0 * * *", timezone="America/New_York")
    assert cron.next_after(utc("2024-01-08T05:00")) == utc("2024-01-09T05:00")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("0 0 15,L * *", ["2024-01-15", "2024-01-31", "2024-02-15"]),
        ("0 0 13W * *", ["2024-01-12", "2024-02-13", "2024-03-13"]),  # 13 January 2024 is a Saturday
        ("0 0 * * 5#2", ["2024-01-12", "2024-02-09", "2024-03-08"]),
        ("0 0 ? * FRI#2", ["2024-01-12", "2024-02-09", "2024-03-08"]),
        ("0 0 * * L5", ["2024-01-26", "2024-02-23", "2024-03-29"]),
        ("0 0 29 2 *", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("0 0 31 * *", ["2024-01-31", "2024-03-31", "2024-05-31"]),
        ("0 0 1 jan,JUL *", ["2024-07-01", "2025-01-01", "2025-07-01"]),
        ("0 0 * * fri-sun", ["2024-01-05", "2024-01-06", "2024-01-07"]),
        ("0 0 * * 5-7", ["2024-01-05", "2024-01-06", "2024-01-07"]),
        ("0 0 13 * fri", ["2024-01-05", "2024-01-12", "2024-01-13"]),  # either day field
        ("0 0 */2 * fri", ["2024-01-05", "2024-01-19", "2024-02-09"]),  # both, for one starts with a star
        ("0 0 30 2 mon", ["2024-02-05", "2024-02-12", "2024-02-19"]),
    ],
)
def test_days_can_be_named_in_many_ways(expression: str, expected: list[str]) -> None:
    assert texts(expression, "2024-01-01T00:00", expected[-1]) == [f"{day}T00:00" for day in expected]


def nearest_weekday(year: int, month: int, day: int) -> date:
    """Return the day from Monday to Friday of that month that is nearest to its `day`, or to its last."""
    length = monthrange(year, month)[1]
    wanted = date(year, month, min(day, length))
    weekdays = [each for n in range(1, length + 1) if (each := date(year, month, n)).weekday() < 5]
    return min(weekdays, key=lambda each: abs(each - wanted))


@pytest.mark.parametrize("day", range(1, 32))
def test_a_day_with_w_is_the_nearest_weekday_of_the_same_month(day: int) -> None:
    # Twelve years begin their months on each weekday, and each February with and without its 29th.
    expected = [nearest_weekday(year, month, day) for year in range(2024, 2036) for month in range(1, 13)]
    found = runs(Cron(expression=f"0 0 {day}W * *"), utc("2023-12-31T23:59"), utc("2035-12-31T23:59"))
    assert [each.date() for each in found] == expected


@pytest.mark.parametrize(
    ("alias", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        (" @Weekly ", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_an_alias_runs_as_the_expression_it_stands_for(alias: str, expression: str) -> None:
    after = utc("2024-03-05T07:30")
    assert Cron(expression=alias).next_after(after) == Cron(expression=expression).next_after(after)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "0 fields"),
        ("0 0 * *", "4 fields"),
        ("0 0 12 * * *", r"6 fields \(seconds and years are not supported\)"),
        ("0 0 12 * * * 2030", r"7 fields \(seconds"),
        ("@reboot", "unknown alias"),
        ("@every 5m", "unknown alias"),
        ("0 10-10 * * *", "hour '10-10': .* write 10"),
        ("0 0 * JAN-jan *", "month 'jan-jan': .* write jan"),
        ("0 0 * * 7-sun", "day of week '7-sun'"),
        ("0 22-2 * * *", "hour '22-2': runs backwards; write two ranges"),
        ("0 0 * * fri-mon", "day of week 'fri-mon': runs backwards"),
        ("R * * * *", "minute 'r': H and R differ between machines"),
        ("0 H(0-7) * * *", "H and R differ between machines"),
        ("0 0 1 * 5#2", "use [*] for the other day field"),
        ("0 0 L * mon", "use [*] for the other day field"),
        ("0 0 15W * mon", "use [*] for the other day field"),
        ("0 0 */2 * L5", "use [*] for the other day field"),
        ("0 0 1,15W * *", "stand alone in their field"),
        ("0 0 * * 1#2,3", "stand alone in their field"),
        ("0 0 LW * *", "day of month 'lw': write 31W for the last weekday"),
        ("0 0 W * *", "day of month 'w': use .*, a step [*]/5, L for the last day, 15W for the weekday"),
        ("0 0 L-2 * *", "day of month 'l-2'"),
        ("0 0 * * 5L", "day of week '5l': write L5 for the last Friday of the month; days count from 0, a Sunday"),
        ("0 0 * * 7L", "day of week '7l': write L7 for the last Sunday of the month"),
        ("0 0 * * FRIL", "day of week 'fril': write L5 for the last Friday"),
        ("0 0 * * Lmon", "day of week 'lmon': write L1 for the last Monday"),
        ("0 0 * * 8L", "day of week '8l': use .*, 5#2 for the second Friday of the month, L5 for its last"),
        ("0 0 * * fooL", "day of week 'fool': use"),
        ("0 5L * * *", "hour '5l': use [*], a value, a range 1-5, a step [*]/5$"),
        ("0 0 * * 1#6", "day of week '1#6'"),
        ("0 0 32W * *", "day of month '32': use 1 to 31"),
        ("0 0 * * foo#2", "day of week 'foo': use 0 to 7 or sun"),
        ("60 * * * *", "minute '60': use 0 to 59"),
        ("0 24 * * *", "hour '24': use 0 to 23"),
        ("0 0 0 * *", "day of month '0': use 1 to 31"),
        ("0 0 * 13 *", "month '13': use 1 to 12 or jan, feb"),
        ("0 0 * * 8", "day of week '8': use 0 to 7"),
        ("0 0 * * 7/2", "day of week '7/2': no step leads on from the highest value; write 7"),
        ("0 0 * * 1/2", "day of week '1/2': some crons go on to day 7; write 1,3,5 or 1,3,5,7"),
        ("0 0 * * fri/1", "day of week 'fri/1': some crons go on to day 7; write 5,6 or 5,6,7"),
        ("0 0 * * 1/0", "day of week '1/0': use a step of 1 to 7"),
        ("59/15 * * * *", "minute '59/15': no step leads on"),
        ("mon * * * *", "minute 'mon': use 0 to 59"),
        ("-5 * * * *", "minute '-5'"),
        ("5- * * * *", "minute '5-'"),
        ("1,,2 * * * *", "minute ''"),
        ("*/0 * * * *", "minute '[*]/0': use a step of 1 to 59"),
        ("*/60 * * * *", "minute '[*]/60': use a step of 1 to 59"),
        ("*,5 * * * *", "minute '[*],5': [*] makes the rest of a list void"),
        ("5,*/15 * * * *", "minute '5,[*]/15': put [*]/15 first in the list"),
        ("? * * * *", "minute '[?]'"),
        ("٣ * * * *", "minute '٣'"),
        ("9" * 200 + " * * * *", "minute '9+'"),
        ("0 " * 129, "258 characters; use at most 256"),
        (",".join(["1"] * 65) + " * * * *", "minute: a list of 65; use at most 64"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 0 31 4 */2", "never fires"),
    ],
)
def test_what_crons_read_in_different_ways_is_refused_for_a_reason(expression: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        Cron(expression=expression)


@pytest.mark.parametrize("expression", [None, 5, b"* * * * *", ["*"] * 5])
def test_what_is_no_text_is_refused(expression: Any) -> None:
    with pytest.raises(InvalidValueError, match="use a text of five fields"):
        Cron(expression=expression)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="did you mean Europe/Paris"):
        Cron(expression="0 0 * * *", timezone="Europe/Pari")


def test_the_rarest_day_is_found_across_forty_years() -> None:
    cron = Cron(expression="0 0 29 2 */7", timezone="America/New_York")  # both fields: 29 February on a Sunday
    assert cron.next_after(utc("2072-03-01T00:00")) == utc("2088-02-29T05:00")
    assert Cron(expression="0 * * 2 1#5").next_after(utc("2072-03-01T00:00")) == utc("2112-02-29T00:00")


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 * * *", "0 0 29 2 *", "* 5 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_nothing_is_due_after_the_year_9998_nor_before_1970(expression: str, zone: str) -> None:
    cron = Cron(expression=expression, timezone=zone)
    assert cron.next_after(utc("9998-12-31T23:59")) is None
    assert cron.next_after(datetime.max.replace(tzinfo=UTC)) is None
    first = cron.next_after(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first >= utc("1970-01-01T00:00")
    assert first.tzinfo is UTC


def test_blanks_make_no_difference() -> None:
    assert Cron(expression="  0\t8  * * mon-fri ") == Cron(expression="0 8 * * mon-fri")


def test_an_expression_is_written_as_in_tasks_yaml() -> None:
    cron = Cron(expression="0 8 * * MON-FRI", timezone="Asia/Tokyo")
    assert cron.as_dict() == {"type": "cron", "cron": "0 8 * * MON-FRI", "timezone": "Asia/Tokyo"}
    assert repr(cron).startswith("Cron(expression='0 8 * * MON-FRI', timezone='Asia/Tokyo', ")


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 * * * *", "@hourly", "*/30 2 * * *"])
def test_what_follows_real_time_has_no_dst(expression: str) -> None:
    with pytest.raises(InvalidValueError, match="follows real time, for its minute or hour starts with"):
        Cron(expression=expression, dst=Dst(gap=Gap.SKIP))


def test_a_dst_that_is_not_the_default_is_written_as_in_tasks_yaml() -> None:
    entry = Cron(expression="0 2 * * *", dst=Dst(fold=Fold.BOTH)).as_dict()
    assert entry["dst"] == {"gap": "run_after", "fold": "both"}
    assert "dst" not in Cron(expression="0 2 * * *", dst=Dst()).as_dict()


def test_a_wall_time_that_every_year_skips_is_never_due() -> None:
    # Egypt puts its clocks forward at midnight before the last Friday of April.
    skipped = Cron(expression="0 0 * 4 L5", timezone="Africa/Cairo", dst=Dst(gap=Gap.SKIP))
    assert skipped.next_after(utc("2026-01-01T00:00")) is None


def test_equal_expressions_are_interchangeable() -> None:
    one, other = (Cron(expression="0 8 * * *") for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Cron(expression="0 8 * * *", timezone="Asia/Tokyo")
    assert copy.deepcopy(one) == one


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads take turns every few microseconds instead of every 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_threads")
def test_threads_that_share_an_expression_do_not_disturb_each_other() -> None:
    cron = Cron(expression="*/7 1-5 * * mon")
    starts = [utc("2024-01-01T00:00") + n * timedelta(hours=5) for n in range(200)]
    expected = [cron.next_after(start) for start in starts]
    together = Barrier(4, timeout=10)

    def ask_all(_thread: int) -> list[datetime | None]:
        together.wait()
        return [cron.next_after(start) for start in starts]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask_all, range(4))) == [expected] * 4
