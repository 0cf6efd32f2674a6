from taskqueue.telemetry.events import ConnectionLost, Emitter, Event, SubscriberFailed

LOST = ConnectionLost(service="redis", error="refused")


def _broken(_event: Event) -> None:
    raise OSError("disk full")


def test_every_subscriber_gets_every_event_in_order_of_subscription() -> None:
    seen: list[tuple[str, Event]] = []
    emitter = Emitter()
    emitter.subscribe("first", lambda event: seen.append(("first", event)))
    emitter.subscribe("second", lambda event: seen.append(("second", event)))

    emitter(LOST)

    assert seen == [("first", LOST), ("second", LOST)]


def test_a_subscriber_that_raises_does_not_break_the_caller_nor_the_others() -> None:
    seen: list[Event] = []
    emitter = Emitter()
    emitter.subscribe("broken", _broken)
    emitter.subscribe("whole", seen.append)

    emitter(LOST)

    assert LOST in seen
    assert emitter.failures == {"broken": 1}


def test_the_other_subscribers_are_told_of_a_failure() -> None:
    seen: list[Event] = []
    emitter = Emitter()
    emitter.subscribe("whole", seen.append)
    emitter.subscribe("broken", _broken)

    emitter(LOST)

    assert seen == [LOST, SubscriberFailed(subscriber="broken", error="OSError: disk full")]


def test_two_broken_subscribers_do_not_report_each_other_for_ever() -> None:
    emitter = Emitter()
    emitter.subscribe("one", _broken)
    emitter.subscribe("two", _broken)

    emitter(LOST)

    assert emitter.failures == {"one": 2, "two": 2}
