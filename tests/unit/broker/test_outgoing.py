from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.broker.publisher import Outgoing
from taskqueue.errors import InvalidValueError


def outgoing(delay: timedelta | None, routing_key: str = "jobs.low") -> Outgoing:
    return Outgoing(body=b"", message_id="m", routing_key=routing_key, delay=delay)


@pytest.mark.parametrize("delay", [None, timedelta(0), timedelta(seconds=-3)])
def test_without_a_wait_it_goes_straight_to_its_queue(delay: timedelta | None) -> None:
    message = outgoing(delay)

    assert (message.exchange, message.expiration) == ("taskqueue", None)


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(seconds=120)))
def test_the_wait_is_whole_milliseconds_and_never_ends_early(delay: timedelta) -> None:
    message = outgoing(delay)

    assert message.exchange == "taskqueue.delay"
    assert message.expiration is not None
    assert timedelta(0) <= timedelta(milliseconds=int(message.expiration)) - delay < timedelta(milliseconds=1)


def test_a_wait_the_broker_would_cut_short_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="at most 0:02:00"):
        outgoing(timedelta(seconds=120, microseconds=1))


def test_a_wait_on_the_way_to_nowhere_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"jobs\.high, jobs\.normal, jobs\.low"):
        outgoing(timedelta(seconds=1), routing_key="jobs.failed")


def test_a_probe_of_the_lane_may_wait() -> None:
    assert outgoing(timedelta(seconds=1), routing_key="lane").exchange == "taskqueue.delay"


@pytest.mark.parametrize("message_id", ["", "x" * 256, "é" * 128])
def test_an_id_that_amqp_cannot_carry_is_refused(message_id: str) -> None:
    with pytest.raises(InvalidValueError, match="1 to 255 bytes"):
        Outgoing(body=b"", message_id=message_id, routing_key="jobs.low")


@pytest.mark.parametrize("message_id", ["x" * 255, "é" * 127])
def test_the_longest_ids_are_taken(message_id: str) -> None:
    assert Outgoing(body=b"", message_id=message_id, routing_key="jobs.low").message_id == message_id
