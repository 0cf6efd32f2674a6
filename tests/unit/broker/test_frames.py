from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from taskqueue.broker.frames import publish_frames
from taskqueue.broker.outgoing import Outgoing

CHANNEL = 3

short = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
headers = st.dictionaries(short, st.one_of(short, st.integers(-(2**31), 2**31 - 1)), max_size=4)
delayed = st.builds(
    Outgoing,
    body=st.binary(max_size=40),
    message_id=short,
    routing_key=st.just("jobs.low"),
    delay=st.none() | st.timedeltas(timedelta(0), timedelta(seconds=120)),
    headers=headers,
    timestamp=st.none() | st.integers(0, 250_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    persistent=st.booleans(),
)


def by_pamqp(outgoing: Outgoing, parts: list[bytes]) -> bytes:
    publish = Basic.Publish(exchange=outgoing.exchange, routing_key=outgoing.routing_key, mandatory=True)
    properties = Basic.Properties(
        content_type="application/json",
        delivery_mode=2 if outgoing.persistent else 1,
        message_id=outgoing.message_id,
        app_id="taskqueue",
        timestamp=outgoing.timestamp,
        expiration=outgoing.expiration,
        headers=dict(outgoing.headers) or None,
    )
    header = ContentHeader(properties=properties, body_size=len(outgoing.body))
    return b"".join(marshal(frame, CHANNEL) for frame in (publish, header, *map(ContentBody, parts)))


@given(delayed)
def test_the_frames_are_those_that_the_client_would_write(outgoing: Outgoing) -> None:
    whole = [outgoing.body] if outgoing.body else []

    assert b"".join(publish_frames(outgoing, CHANNEL, 1000)) == by_pamqp(outgoing, whole)


@pytest.mark.parametrize(
    ("max_body", "parts"),
    [
        (4, [b"0123", b"4567", b"89"]),
        (5, [b"01234", b"56789"]),
        (10, [b"0123456789"]),
        (0, [b"0123456789"]),
        (-8, [b"0123456789"]),
    ],
)
def test_a_body_is_split_where_a_frame_ends(max_body: int, parts: list[bytes]) -> None:
    outgoing = Outgoing(body=b"0123456789", message_id="m", routing_key="jobs.low")

    assert b"".join(publish_frames(outgoing, CHANNEL, max_body)) == by_pamqp(outgoing, parts)
