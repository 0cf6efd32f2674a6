"""Every kind of interval in fifty zones, against what their clocks show minute by minute.

The unit run takes a change of each zone and a few rules; `make oracle` takes every change from 1970 to 2037, many rules
at some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import pairwise, product
from random import Random
from typing import TypeVar

import pytest

from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import Bounded, Interval
from tests.support import wall_rules
from tests.support.minute_oracle import MINUTE, ZONES, Matches, RealMinute, clock_changes, due_instants, real_minutes

T = TypeVar("T")

ANCHOR = datetime(1970, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DSTS = [Dst(gap=gap, fold=fold) for gap, fold in product(Gap, Fold)]
LEAP_DAYS = (date(1972, 2, 29), date(2000, 2, 29), date(2024, 2, 29), date(2036, 2, 29))
NO_LEAP_DAYS = (date(2025, 2, 28), date(2100, 2, 28))


Minutes = tuple[RealMinute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An interval, and how to find when it is due in a window, strictly after the window's first minute."""

    interval: Interval
    due_in: Callable[[Minutes], list[datetime]]


def sample(random: Random, population: Sequence[T], size: int) -> list[T]:
    return random.sample(population, min(size, len(population)))


def critical_times(minutes: Minutes) -> list[time]:
    """Return times of day around the clock changes of a window: the ends of gaps and folds, their middles, midnight."""
    found = {time(0), time(2, 30), time(23, 59)}
    for before, after in pairwise(minutes):
        if after.wall - before.wall != MINUTE:
            low, high = sorted((before.wall, after.wall))
            found |= {wall.time() for wall in (low, low + (high - low) // 2, high, high + MINUTE, low - MINUTE)}
    return [at.replace(second=0) for at in sorted(found)]


def fixed_examples(zone: str, day: date, at: time, dst: Dst) -> Iterator[Example]:
    rules: list[tuple[Interval, Matches]] = [
        (Every(kind=EveryKind.DAILY, value=value, timezone=zone, at_time=at, dst=dst), wall_rules.daily(value, at))
        for value in (1, 2, 3)
    ]
    rules += [
        (
            Every(kind=EveryKind.WEEKLY, value=value, timezone=zone, at_time=at, weekday=near.weekday(), dst=dst),
            wall_rules.weekly(value, at, near.weekday()),
        )
        for value, near in product((1, 2), (day, day + timedelta(days=1)))
    ]
    rules += [
        (
            Every(kind=EveryKind.MONTHLY, value=value, timezone=zone, at_time=at, day=wanted, dst=dst),
            wall_rules.monthly(value, at, wanted),
        )
        for value, wanted in ((1, day.day), (1, 31), (1, "last"), (2, day.day), (3, "last"))
    ]
    expressions = (
        f"{at.minute} {at.hour} * * *",
        f"{at.minute},59 {at.hour},{(at.hour + 1) % 24} * * *",
        f"{at.minute % 50}-59/7 {at.hour} {day.day} * {day.isoweekday()}",
        f"{at.minute} 0-23/2 {day.day},1 {day.month} *",
    )
    rules += [(Cron(expression=text, timezone=zone, dst=dst), wall_rules.cron(text)) for text in expressions]
    after_a_gap = dst.gap is Gap.RUN_AFTER
    for interval, matches in rules:
        due_in = partial(due_instants, matches=matches, after_a_gap=after_a_gap, fold=dst.fold.value)
        yield Example(interval=interval, due_in=due_in)


def other_examples(zone: str, day: date, at: time) -> Iterator[Example]:
    for value in (1, 2, 3, 4, 6, 8, 12, 24):
        fold = "both" if value == 1 else "first"
        due_in = partial(due_instants, matches=wall_rules.hourly(value), after_a_gap=True, fold=fold)
        yield Example(interval=Every(kind=EveryKind.HOURLY, value=value, timezone=zone), due_in=due_in)
    for value in (5, 7, 25):
        interval = Every(kind=EveryKind.HOURLY, value=value, timezone=zone)
        yield Example(interval=interval, due_in=partial(on_the_grid, step=value * HOUR))
    for text in (f"{at.minute} * * * *", f"*/20 {at.hour} * * *", f"*/45 * {day.day} * *", f"{at.minute} */3 * * *"):
        due_in = partial(due_instants, matches=wall_rules.cron(text), after_a_gap=False, fold="both")
        yield Example(interval=Cron(expression=text, timezone=zone), due_in=due_in)
    at_once = datetime.combine(day, at, tzinfo=UTC)
    yield Example(interval=Once(at=at_once), due_in=lambda _: [at_once])


def on_the_grid(minutes: Minutes, *, step: timedelta) -> list[datetime]:
    return [minute.instant for minute in minutes[1:] if (minute.instant - ANCHOR) % step == timedelta(0)]


def bounded(example: Example, minutes: Minutes, random: Random) -> Example:
    """Return the example between two of its instants, or a minute beside them."""
    found = example.due_in(minutes) or [minutes[2000].instant]
    start_at, end_at = sorted(random.choice(found) + random.choice((-1, 0, 1)) * MINUTE for _ in range(2))
    return Example(
        interval=Bounded(interval=example.interval, start_at=start_at, end_at=end_at),
        due_in=lambda minutes: [instant for instant in example.due_in(minutes) if start_at <= instant <= end_at],
    )


def examples(zone: str, day: date, random: Random, size: int) -> Iterator[Example]:
    minutes = real_minutes(zone, day)
    at_times = critical_times(minutes)
    for dst in sample(random, DSTS, size):
        yield from sample(random, list(fixed_examples(zone, day, random.choice(at_times), dst)), size)
    others = sample(random, list(other_examples(zone, day, random.choice(at_times))), size)
    yield from others
    yield bounded(random.choice(others), minutes, random)


def check(zone: str, days: Sequence[date], random: Random, size: int) -> int:
    """Compare `size` rules of each sort in the window around each of the days; return how many were compared."""
    compared = 0
    for day in days:
        minutes = real_minutes(zone, day)
        for example in examples(zone, day, random, size):
            found: list[datetime] = []
            instant = example.interval.next_after(minutes[0].instant)
            while instant is not None and instant <= minutes[-1].instant:
                found.append(instant)
                instant = example.interval.next_after(instant)
            assert found == example.due_in(minutes), (example.interval, day)
            compared += 1
    return compared


@pytest.mark.parametrize("zone", ZONES)
def test_at_some_clock_changes_and_a_leap_day_rules_run_when_the_minutes_of_the_clock_say(zone: str) -> None:
    random = Random(zone)
    days = [*sample(random, clock_changes(zone), 1), random.choice(LEAP_DAYS)]
    assert check(zone, days, random, 2) > 0


@pytest.mark.oracle
@pytest.mark.parametrize("zone", ZONES)
def test_at_every_clock_change_and_all_leap_days_rules_run_when_the_minutes_of_the_clock_say(zone: str) -> None:
    random = Random(zone)
    changes = clock_changes(zone)
    days = [*sample(random, changes, 24), *LEAP_DAYS, *NO_LEAP_DAYS]
    assert check(zone, days, random, 6) >= 30 * len(days)
    assert check(zone, changes, random, 1) == 3 * len(changes)
