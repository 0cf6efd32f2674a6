from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from time import monotonic

import pytest
from rich.console import Console

from taskqueue.broker.names import QUEUES
from taskqueue.broker.queue_counts import QueueCount
from taskqueue.cli.top_scene import Scene
from taskqueue.cli.top_sources import QueueView, StoreView, Watched
from taskqueue.cli.top_view import drawn
from taskqueue.store.fleet import LeaseSeen, WorkerSeen
from taskqueue.store.pulse import Pulse

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)

PULSE = Pulse(at=NOON, ended=1_234_567, failed=89, occurrences=0, delayed=4_321, api_waiting=3)


async def nothing() -> StoreView:
    raise AssertionError("nobody asks")


def worker(number: int, *, active: bool = True) -> WorkerSeen:
    return WorkerSeen(
        worker_id=f"worker-{number}",
        active=active,
        capacity=1_000,
        current_load=650 if active else 0,
        uptime=timedelta(hours=1),
        last_heartbeat=NOON,
    )


def store_view(pulse: Pulse = PULSE, waiting: Mapping[str, int] | None = None) -> StoreView:
    lease = LeaseSeen(leader="scheduler-1", leading_since=NOON, remaining=None, followers=("scheduler-2",))
    workers = (worker(1), worker(2, active=False))
    return StoreView(pulse=pulse, lease=lease, workers=workers, waiting=waiting or {}, live=())


def queue_view(at_s: float = 1.0, ready: int = 12_345_678) -> QueueView:
    counts: dict[str, QueueCount | None] = dict.fromkeys(QUEUES, QueueCount(ready=ready, consumers=100))
    return QueueView(at_s=at_s, counts={**counts, QUEUES[-1]: None})


def scene(
    *, store: tuple[StoreView | None, StoreView | None], queues: tuple[QueueView | None, QueueView | None]
) -> Scene:
    """Return what is seen after two looks; None for one that failed."""
    found = Scene(store=Watched(nothing), queues=Watched(nothing))  # type: ignore[arg-type] - nobody asks
    found.store.before, found.store.latest = store
    found.queues.before, found.queues.latest = queues
    return found


def lines(seen: Scene, columns: int) -> list[str]:
    file = StringIO()
    Console(file=file, width=columns, color_system=None).print(drawn(seen))
    return [line.rstrip() for line in file.getvalue().split("\n")]


def later(seconds: float, **changes: object) -> StoreView:
    return store_view(replace(PULSE, at=NOON + timedelta(seconds=seconds), **changes))  # type: ignore[arg-type]


def test_40_columns_lose_no_number() -> None:
    store = store_view(waiting={f"task:a_rather_long_name_of_a_task_{number}": 10**number for number in range(8)})

    found = lines(scene(store=(None, store), queues=(queue_view(0.0, 0), queue_view())), 40)

    assert max(map(len, found)) <= 40
    text = "\n".join(found)
    for number in ("1,234,567 today", "650 of 1,000 busy", "12,345,678", "+12,345,678", "10,000,000", "4,321"):
        assert number in text
    assert re.search(r"for 3 other limits +111$", text, re.MULTILINE)


def test_a_queue_that_is_missing_is_shown_as_missing() -> None:
    assert any(
        re.match(r"failed +missing", line) for line in lines(scene(store=(None, None), queues=(None, queue_view())), 80)
    )


def test_text_of_other_systems_does_nothing_to_the_terminal() -> None:
    view = store_view(waiting={"task:\x1b[2J": 1})

    text = "\n".join(lines(scene(store=(None, view), queues=(None, None)), 80))

    assert "\\x1b[2J" in text
    assert "\x1b" not in text


def test_rates_are_those_between_two_looks() -> None:
    seen = scene(
        store=(store_view(), later(2, ended=1_234_572, failed=90)), queues=(queue_view(1, 5), queue_view(3, 1))
    )

    assert (seen.ended_per_s(), seen.failed_per_s(), seen.growth_per_s(QUEUES[0])) == (2.5, 0.5, -2.0)


@pytest.mark.parametrize("following", [later(2, ended=3), later(0), later(2, ended=None)])
def test_there_is_no_rate_over_midnight_and_none_without_time_or_counts(following: StoreView) -> None:
    assert scene(store=(store_view(), following), queues=(None, None)).ended_per_s() is None


def test_a_queue_that_was_missing_has_no_rate() -> None:
    assert scene(store=(None, None), queues=(queue_view(1), queue_view(2))).growth_per_s(QUEUES[-1]) is None


def test_what_is_away_is_null_with_its_reason_and_has_the_same_fields() -> None:
    away = scene(store=(None, None), queues=(None, None))
    away.store.away = "Redis: gone"
    there = scene(store=(None, store_view()), queues=(None, queue_view()))

    assert away.as_dict()["away"] == {"redis": "Redis: gone", "rabbitmq": None}
    assert away.as_dict().keys() == there.as_dict().keys()
    assert "Redis is away: Redis: gone" in lines(away, 80)


def test_numbers_that_are_two_looks_old_have_their_age_and_no_rates() -> None:
    seen = scene(store=(store_view(), later(2, ended=1_234_572)), queues=(queue_view(1, 5), queue_view(3, 1)))
    for each in (seen.store, seen.queues):
        each.every_s, each.read_at = 1.0, monotonic() - 7.2

    found = lines(seen, 80)

    assert {"Redis: 7 s old", "RabbitMQ: 7 s old"} <= set(found)
    assert (seen.ended_per_s(), seen.growth_per_s(QUEUES[0])) == (None, None)


def test_numbers_of_the_look_before_are_not_called_old() -> None:
    seen = scene(store=(store_view(), later(2)), queues=(queue_view(1), queue_view(3)))
    for each in (seen.store, seen.queues):
        each.every_s, each.read_at = 10.0, monotonic() - 11

    assert "old" not in "\n".join(lines(seen, 80))
    assert seen.growth_per_s(QUEUES[0]) is not None
