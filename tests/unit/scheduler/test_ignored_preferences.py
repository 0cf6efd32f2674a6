from __future__ import annotations

from taskqueue.scheduler.ignored_preferences import IgnoredPreferences
from taskqueue.telemetry.scheduler_events import PreferenceIgnored, PreferencesIgnored
from tests.support.scheduling import EventLog


def test_the_first_hundred_of_a_minute_are_told_one_by_one_and_then_how_many_more_there_were() -> None:
    events = EventLog()
    ignored = IgnoredPreferences(events)

    for number in range(250):
        ignored.tell(f"user-{number}", "nonsense", now=1000 + number / 10)
    assert [event.user_id for event in events.of(PreferenceIgnored)] == [f"user-{number}" for number in range(100)]
    assert events.of(PreferencesIgnored) == []

    ignored.tell_rest(now=1060)
    ignored.tell_rest(now=1061)
    assert events.of(PreferencesIgnored) == [PreferencesIgnored(count=150)]

    ignored.tell("later", "nonsense", now=1062)
    assert events.of(PreferenceIgnored)[-1].user_id == "later"


def test_nothing_is_told_where_nothing_was_ignored() -> None:
    events = EventLog()
    ignored = IgnoredPreferences(events)

    for now in (0, 100, 200):
        ignored.tell_rest(now)

    assert events.of(PreferencesIgnored) == []
