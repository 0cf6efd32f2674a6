import asyncio

from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.task import Priority
from taskqueue.worker.intake import PICKS, Intake
from tests.support.fakes import Hand, delivery


async def _taken(intake: Intake, count: int) -> list[Priority]:
    return [(await intake.take()).queue for _ in range(count)]


async def test_the_urgent_go_first_when_there_are_few() -> None:
    intake = Intake()
    for priority in Priority:
        intake.put(delivery(priority))

    assert await _taken(intake, 3) == [Priority.HIGH, Priority.NORMAL, Priority.LOW]


async def test_a_flood_of_urgent_ones_leaves_the_others_their_share() -> None:
    intake = Intake()
    for number in range(100):
        for priority in Priority:
            intake.put(delivery(priority, number))

    taken = await _taken(intake, 100)

    assert [taken.count(priority) for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW)] == [70, 20, 10]


@given(st.lists(st.sampled_from(Priority), max_size=60))
def test_everything_that_came_is_taken_once_and_in_order_within_its_queue(arrivals: list[Priority]) -> None:
    async def run() -> list[tuple[Priority, int]]:
        intake = Intake()
        for tag, queue in enumerate(arrivals):
            intake.put(delivery(queue, tag))
        taken = [await intake.take() for _ in arrivals]
        assert len(intake) == 0
        return [(each.queue, each.tag) for each in taken]

    taken = asyncio.run(run())

    for queue in Priority:
        assert [tag for each, tag in taken if each == queue] == [
            tag for tag, each in enumerate(arrivals) if each == queue
        ]


async def test_who_waits_gets_the_next_delivery() -> None:
    intake = Intake()
    waiting = asyncio.create_task(intake.take())
    await asyncio.sleep(0)

    intake.put(delivery(Priority.LOW, 7))

    assert (await asyncio.wait_for(waiting, 1)).tag == 7


async def test_a_delivery_for_one_who_has_gone_is_anothers() -> None:
    intake = Intake()
    gone, stays = asyncio.create_task(intake.take()), asyncio.create_task(intake.take())
    await asyncio.sleep(0)

    intake.put(delivery(Priority.LOW, 7))
    gone.cancel()

    assert (await asyncio.wait_for(stays, 1)).tag == 7
    assert gone.cancelled() or gone.cancelling()


async def test_deliveries_of_a_lost_session_are_passed_over() -> None:
    intake, lost = Intake(), Hand()
    for priority in Priority:
        intake.put(delivery(priority, 1, hand=lost))
    intake.put(delivery(Priority.LOW, 2))

    lost.stale = True

    assert (await intake.take()).tag == 2
    assert len(intake) == 0


async def test_who_is_woken_for_a_delivery_that_is_lost_by_then_waits_for_the_next() -> None:
    intake, lost = Intake(), Hand()
    waiting = asyncio.create_task(intake.take())
    await asyncio.sleep(0)
    intake.put(delivery(Priority.HIGH, 1, hand=lost))
    lost.stale = True
    await asyncio.sleep(0)
    assert not waiting.done()

    intake.put(delivery(Priority.LOW, 2))

    assert (await asyncio.wait_for(waiting, 1)).tag == 2


async def test_reconnecting_while_all_hands_are_busy_leaves_one_copy_of_each_message() -> None:
    intake = Intake()
    for _ in range(20):
        session = Hand()
        for tag in range(5):
            intake.put(delivery(Priority.NORMAL, tag, hand=session))
        session.stale = True
    session.stale = False

    assert [each.tag for each in intake.drain()] == list(range(5))


async def test_a_reconnect_drops_what_waited_in_every_queue() -> None:
    intake, lost = Intake(), Hand()
    for priority in Priority:
        intake.put(delivery(priority, 1, hand=lost))
    lost.stale = True

    intake.put(delivery(Priority.NORMAL, 2))

    assert len(intake) == 1


async def test_what_cannot_be_settled_any_more_is_not_drained() -> None:
    intake, lost = Intake(), Hand()
    intake.put(delivery(Priority.LOW, 1, hand=lost))
    lost.stale = True

    assert intake.drain() == []


async def test_draining_empties_the_intake() -> None:
    intake = Intake()
    for priority in Priority:
        intake.put(delivery(priority))

    assert {each.queue for each in intake.drain()} == set(Priority)
    assert len(intake) == 0


def test_every_pick_knows_every_queue() -> None:
    assert all(set(order) == set(Priority) for order in PICKS)


async def test_only_what_waited_too_long_is_drained() -> None:
    intake = Intake()
    for tag, received_at in enumerate([10.0, 20.0, 30.0]):
        intake.put(delivery(Priority.LOW, tag, received_at=received_at))

    drained = intake.drain(received_before=25.0)

    assert [one.tag for one in drained] == [0, 1]
    assert (await intake.take()).tag == 2
