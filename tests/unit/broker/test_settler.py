from __future__ import annotations

import asyncio
from typing import cast

from aiormq import Channel
from aiormq.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.broker.consumer import Settler
from taskqueue.core.task import Priority
from taskqueue.telemetry.events import Event, SettleLost


class Wire:
    """Writes down what a channel would send, and understands it as the broker does."""

    def __init__(self, deliveries: int, *, closed: bool = False) -> None:
        self.open = set(range(1, deliveries + 1))
        self.acked: set[int] = set()
        self.requeued: set[int] = set()
        self.frames: list[tuple[str, int, bool]] = []
        self.closed = closed

    async def basic_ack(self, tag: int, multiple: bool = False) -> None:
        tags = {other for other in self.open if other == tag or (multiple and other < tag)}
        self._settle("ack", tag, multiple, tags, self.acked)

    async def basic_nack(self, tag: int, *, requeue: bool) -> None:
        assert requeue
        await asyncio.sleep(0)  # the client may have to wait for its writer
        self._settle("requeue", tag, False, {tag}, self.requeued)

    def _settle(self, verb: str, tag: int, multiple: bool, tags: set[int], into: set[int]) -> None:
        if self.closed:
            raise ChannelInvalidStateError("closed")
        assert tag in self.open, "the broker closes a channel that settles an unknown tag"
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
        await settler.ack(tag)
    await settler.flushed(5)

    assert wire.frames == [("ack", 3, True)]
    assert wire.acked == {1, 2, 3}


async def test_an_older_open_delivery_is_never_covered() -> None:
    wire = Wire(4)
    settler = settler_on(wire)

    await settler.ack(1)
    await settler.ack(4)
    await settler.flushed(5)

    assert wire.acked == {1, 4}
    assert wire.open == {2, 3}


async def test_settling_twice_does_nothing_the_second_time() -> None:
    wire = Wire(2)
    settler = settler_on(wire)

    await settler.ack(1)
    await settler.requeue(1)
    await settler.flushed(5)
    await settler.ack(1)
    await settler.requeue(2)
    await settler.ack(2)
    await settler.flushed(5)

    assert wire.frames == [("ack", 1, True), ("requeue", 2, False)]


async def test_a_closed_channel_is_reported_with_how_many_it_cost() -> None:
    emitted: list[Event] = []
    settler = settler_on(Wire(3, closed=True), emitted)

    await settler.ack(1)
    await settler.ack(2)
    await settler.flushed(5)
    await settler.requeue(3)

    assert [(event.queue, event.count) for event in emitted if isinstance(event, SettleLost)] == [
        ("taskqueue.jobs.low", 2),
        ("taskqueue.jobs.low", 1),
    ]


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["ack", "requeue", "turn"])), max_size=40))
def test_every_delivery_ends_as_it_was_settled_first(steps: list[tuple[int, str]]) -> None:
    expected: dict[int, str] = {}

    async def run() -> Wire:
        wire = Wire(12)
        settler = settler_on(wire)
        async with asyncio.TaskGroup() as requeues:
            for tag, verb in steps:
                if verb == "turn":
                    await asyncio.sleep(0)
                elif tag not in expected:
                    expected[tag] = verb
                    if verb == "ack":
                        await settler.ack(tag)
                    else:
                        requeues.create_task(settler.requeue(tag))
        await settler.flushed(5)
        return wire

    wire = asyncio.run(run())

    assert wire.acked == {tag for tag, verb in expected.items() if verb == "ack"}
    assert wire.requeued == {tag for tag, verb in expected.items() if verb == "requeue"}
