from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.broker.connection import BrokerConnection, endpoint, reconnect_delays
from taskqueue.errors import ConfigError

SECRET = "p4ssw0rd"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"amqp://me:{SECRET}@rabbit:5673/vh?heartbeat=9", "amqp://rabbit:5673/vh"),
        (f"amqp://me:{SECRET}@rabbit", "amqp://rabbit:5672/"),
        (f"amqps://me:{SECRET}@rabbit/%2F?keyfile=/secret", "amqps://rabbit:5671/%2F"),
    ],
)
def test_a_place_shows_where_without_credentials(url: str, place: str) -> None:
    assert endpoint(url) == place


@pytest.mark.parametrize(
    "url",
    [
        f"amqp://me:{SECRET}/x@rabbit/",
        f"http://me:{SECRET}@rabbit/",
        f"amqp://me:{SECRET}@/",
        f"amqp://[{SECRET}",
        SECRET,
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"queue\.url") as caught:
        endpoint(url)

    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_connection_needs_a_url() -> None:
    with pytest.raises(ConfigError, match="empty"):
        BrokerConnection([], name="test")


@given(st.integers(min_value=1, max_value=50))
def test_reconnecting_waits_longer_up_to_five_seconds_and_a_half_more(count: int) -> None:
    delays = reconnect_delays()
    taken = [next(delays) for _ in range(count)]

    assert 0.1 <= taken[0] <= 0.3
    assert all(0.1 <= delay <= 7.5 for delay in taken)
