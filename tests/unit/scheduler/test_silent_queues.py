from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskqueue.scheduler.silent_queues import SilentQueues

NOW = datetime(2024, 1, 15, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def tries_within(queues: SilentQueues, seconds: int) -> list[int]:
    """Return the seconds at which a job may go out to a queue that never answers."""
    found = []
    for second in range(seconds):
        if queues.may_try("queue:normal", NOW + second * SECOND):
            found.append(second)
            queues.tried("queue:normal", NOW + second * SECOND)
            queues.was_silent("queue:normal", NOW + second * SECOND)
    return found


def test_a_queue_that_answers_takes_any_number() -> None:
    queues = SilentQueues()
    assert all(queues.may_try("queue:normal", NOW) for _ in range(100))


def test_a_silent_queue_is_tried_with_one_job_after_rests_that_grow() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    assert tries_within(queues, 130) == [1, 3, 7, 15, 31, 61, 91, 121]
    assert queues.may_try("queue:normal", NOW + 151 * SECOND)
    queues.tried("queue:normal", NOW + 151 * SECOND)
    assert not queues.may_try("queue:normal", NOW + 151 * SECOND)


def test_a_look_alone_is_no_try() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    assert all(queues.may_try("queue:normal", NOW + SECOND) for _ in range(3))


def test_a_silent_queue_keeps_no_other_from_its_jobs() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    assert queues.may_try("queue:high", NOW)


def test_an_answer_ends_the_rest() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    queues.answered("queue:normal")
    assert all(queues.may_try("queue:normal", NOW) for _ in range(100))


def test_a_clock_that_goes_back_makes_no_rest_longer() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    assert queues.may_try("queue:normal", NOW - timedelta(hours=1))


def test_a_new_leadership_begins_without_rests() -> None:
    queues = SilentQueues()
    queues.was_silent("queue:normal", NOW)
    queues.begin()
    assert all(queues.may_try("queue:normal", NOW) for _ in range(100))
