from __future__ import annotations

from datetime import time

import pytest

from taskqueue.config.catalog import interval_from_dict
from taskqueue.core.cron import Cron
from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.occurrence import rule_text
from taskqueue.core.task import Interval
from taskqueue.errors import InvalidValueError


@pytest.mark.parametrize(
    ("given_interval", "interval"),
    [
        ({"type": "daily", "value": 2}, Every(kind=EveryKind.DAILY, value=2)),
        (
            {"type": "daily", "value": 1, "timezone": "", "at_time": "0000-01-01T08:00:00Z"},
            Every(kind=EveryKind.DAILY, value=1, at_time=time(8)),
        ),
        (
            {"type": "daily", "value": 1, "timezone": "Europe/Berlin", "at_time": "2024-01-15T08:00:30.5+01:00"},
            Every(kind=EveryKind.DAILY, value=1, at_time=time(8, 0, 30), timezone="Europe/Berlin"),
        ),
        ({"type": "hourly", "value": 6, "timezone": "", "at_time": None}, Every(kind=EveryKind.HOURLY, value=6)),
        ({"cron": "0 9 * * 1-5"}, Cron(expression="0 9 * * 1-5")),
        ({"type": "daily", "dst": {"gap": "skip"}}, Every(kind=EveryKind.DAILY, value=1, dst=Dst(gap=Gap.SKIP))),
    ],
)
def test_a_custom_interval_may_be_what_go_writes(given_interval: dict[str, object], interval: Interval) -> None:
    assert interval_from_dict(given_interval) == interval


@pytest.mark.parametrize(
    ("given_interval", "problem"),
    [
        ({}, "interval.type: is missing"),
        ({"type": "daily", "value": 0}, "interval.value: cannot be 0"),
        ({"type": "daily", "value": "2"}, "interval.value: must be a whole number"),
        ({"type": "daily", "at_time": "0000-01-01T25:00:00Z"}, "interval.at_time: not a time of day"),
        ({"type": "daily", "timezone": "Nowhere"}, "interval.timezone: timezone 'Nowhere': unknown"),
        ({"type": ["daily"]}, "interval.type: unknown type"),
        ({"type": "once", "at": "2030-01-01T00:00:00Z"}, "interval.type: unknown type 'once'"),
        ({"cron": 5}, "interval.cron: must be text"),
        ({"type": "daily", "dst": {"fold": "third"}}, "interval.dst.fold: cannot be 'third'"),
        ({"type": "hourly", "dst": {"gap": "skip"}}, "interval.dst: hourly has no fixed time"),
    ],
)
def test_what_is_no_custom_interval_is_an_invalid_value(given_interval: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        interval_from_dict(given_interval)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "interval",
    [
        Cron(expression="@daily"),
        Every(kind=EveryKind.DAILY, value=1),
        Every(kind=EveryKind.DAILY, value=1, dst=Dst(fold=Fold.SECOND)),
    ],
    ids=rule_text,
)
def test_an_interval_survives_being_a_dict(interval: Interval) -> None:
    assert interval_from_dict(interval.as_dict()) == interval
