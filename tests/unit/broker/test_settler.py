from __future__ import annotations

import asyncio
from typing import cast

from aiormq import Channel, spec
from aiormq.abc import ChannelFrame
from hypothesis import given
from hypothesis import strategies as st
from pamqp.frame import unmarshal

from taskqueue.broker.consumer import Settler
from taskqueue.core.task import Priority
from taskqueue.telemetry.events import Event, SettleLost


class Wire:
    """A channel, and the broker behind it: it understands what is written."""

    number = 3

    def __init__(self, deliveries: int, *, closed: bool = False, room: int = 0) -> None:
        self.open = set(range(1, deliveries + 1))
        self.acked: set[int] = set()
        self.requeued: set[int] = set()
        self.frames: list[tuple[str, int, bool]] = []
        self.closed = closed
        #: what the client's writer takes from, at most `room` pieces at a time (0: any number)
        self.write_queue: asyncio.Queue[ChannelFrame] = asyncio.Queue(room)

    def receive(self) -> None:
        """Let the broker see what was written so far."""
        while not self.write_queue.empty():
            data = self.write_queue.get_nowait().payload
            while data:
                size, channel, frame = unmarshal(data)
                assert channel == self.number
                self._settle(frame)
                data = data[size:]

    def _settle(self, frame: object) -> None:
        match frame:
            case spec.Basic.Ack(delivery_tag=tag, multiple=multiple):
                verb, into = "ack", self.acked
            case spec.Basic.Nack(delivery_tag=tag, multiple=multiple, requeue=True):
                verb, into = "requeue", self.requeued
            case _:
                raise AssertionError(frame)
        assert tag in self.open, "the broker closes a channel that settles an unknown tag"
        tags = {other for other in self.open if other == tag or (multiple and other < tag)}
        self.frames.append((verb, tag, multiple))
        self.open -= tags
        into |= tags


def settler_on(wire: Wire, emitted: list[Event] | None = None) -> Settler:
    emit = (emitted if emitted is not None else []).append
    settler = Settler(cast(Channel, wire), Priority.LOW, emit, alive=lambda: not wire.closed)
    for tag in sorted(wire.open):
        settler.took(tag)
    return settler


async def test_acks_of_one_turn_leave_as_one_frame() -> None:
    wire = Wire(5)
    settler = settler_on(wire)

    for tag in (2, 1, 3):
        settler.ack(tag)
    await settler.flushed(5)
    wire.receive()

    assert wire.frames == [("ack", 3, True)]
    assert wire.acked == {1, 2, 3}


async def test_an_ack_leaves_at_once_and_the_next_ones_a_moment_later_together() -> None:
    wire = Wire(100)
    settler = settler_on(wire)

    settler.ack(1)
    await asyncio.sleep(0)
    wire.receive()
    assert wire.acked == {1}

    settler.ack(2)
    await asyncio.sleep(0)
    settler.ack(3)
    await asyncio.sleep(0)
    assert wire.write_queue.empty()

    async with asyncio.timeout(5):
        wire.write_queue.put_nowait(await wire.write_queue.get())
    wire.receive()
    assert wire.frames[1:] == [("ack", 3, True)]


async def test_acks_do_not_wait_when_most_of_what_is_open_is_done() -> None:
    wire = Wire(6)
    settler = settler_on(wire)

    settler.ack(1)
    await asyncio.sleep(0)
    settler.ack(2)
    settler.ack(3)
    await asyncio.sleep(0)
    wire.receive()
    assert wire.acked == {1}

    settler.ack(4)
    await asyncio.sleep(0)
    wire.receive()
    assert wire.acked == {1, 2, 3, 4}


async def test_an_older_open_delivery_is_never_covered() -> None:
    wire = Wire(4)
    settler = settler_on(wire)

    settler.ack(1)
    settler.ack(4)
    await settler.flushed(5)
    wire.receive()

    assert wire.acked == {1, 4}
    assert wire.open == {2, 3}


async def test_settling_twice_does_nothing_the_second_time() -> None:
    wire = Wire(2)
    settler = settler_on(wire)

    settler.ack(1)
    settler.requeue(1)
    await settler.flushed(5)
    settler.ack(1)
    settler.requeue(2)
    settler.ack(2)
    await settler.flushed(5)
    wire.receive()

    assert wire.frames == [("ack", 1, True), ("requeue", 2, False)]


async def test_a_closed_channel_is_reported_with_how_many_it_cost() -> None:
    emitted: list[Event] = []
    settler = settler_on(Wire(3, closed=True), emitted)

    settler.ack(1)
    settler.ack(2)
    await settler.flushed(5)
    settler.requeue(3)

    assert [(event.queue, event.count) for event in emitted if isinstance(event, SettleLost)] == [
        ("taskqueue.jobs.low", 2),
        ("taskqueue.jobs.low", 1),
    ]


async def test_what_the_writer_has_no_room_for_is_written_as_soon_as_it_has() -> None:
    wire = Wire(4, room=1)
    settler = settler_on(wire)
    for tag in (1, 2, 3):
        settler.requeue(tag)

    settler.ack(4)
    wire.receive()
    await settler.flushed(5)
    wire.receive()

    assert wire.requeued == {1, 2, 3}
    assert wire.acked == {4}


async def test_what_the_writer_had_no_room_for_is_lost_with_the_session_and_counted_once() -> None:
    wire = Wire(4, room=1)
    emitted: list[Event] = []
    lost = asyncio.Event()

    def emit(event: Event) -> None:
        emitted.append(event)
        lost.set()

    settler = Settler(cast(Channel, wire), Priority.LOW, emit, alive=lambda: not wire.closed)
    for tag in sorted(wire.open):
        settler.took(tag)
    settler.requeue(1)
    settler.requeue(2)
    settler.ack(3)
    settler.ack(4)
    settler.flush()

    wire.closed = True
    async with asyncio.timeout(5):
        await lost.wait()
    wire.receive()

    assert [event.count for event in emitted if isinstance(event, SettleLost)] == [3]
    assert (wire.requeued, wire.acked) == ({1}, set())


async def test_what_is_unsettled_is_counted() -> None:
    wire = Wire(3)
    settler = settler_on(wire)

    settler.ack(1)
    settler.requeue(2)
    assert settler.unsettled == 2
    settler.flush()
    assert settler.unsettled == 1


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["ack", "requeue", "turn"])), max_size=40))
def test_every_delivery_ends_as_it_was_settled_first(steps: list[tuple[int, str]]) -> None:
    expected: dict[int, str] = {}

    async def run() -> Wire:
        wire = Wire(12)
        settler = settler_on(wire)
        for tag, verb in steps:
            if verb == "turn":
                await asyncio.sleep(0)
            elif tag not in expected:
                expected[tag] = verb
                (settler.ack if verb == "ack" else settler.requeue)(tag)
        await settler.flushed(5)
        wire.receive()
        return wire

    wire = asyncio.run(run())

    assert wire.acked == {tag for tag, verb in expected.items() if verb == "ack"}
    assert wire.requeued == {tag for tag, verb in expected.items() if verb == "requeue"}
