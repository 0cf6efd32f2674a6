"""Occurrences of few users, planned beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from taskqueue.errors import LeaseLostError, StoreUnavailableError
from taskqueue.store.plan import PlanStore
from tests.support.plan_desk import HOUR, PLAN_BATCH, TEN, Desk, names

Append = Callable[..., Awaitable[bool]]


def own_intervals(desk: Desk, users: list[str]) -> None:
    """Give each user an interval of their own that is due at ten."""
    for number, user in enumerate(users):
        desk.enable(user)
        desk.wants(user, {"type": "cron", "cron": f"0,{number + 5} 10 * * *"})


def watched(monkeypatch: pytest.MonkeyPatch, fail_at: int = 0, error: Exception | None = None) -> list[int]:
    """Return a list of how many users are being appended, at each begin and end; the append of that number fails."""
    under_way, begun, seen, append = 0, 0, list[int](), PlanStore.append

    async def counted(self: PlanStore, *arguments: object, **named: object) -> bool:
        nonlocal under_way, begun
        users = len(arguments[3])  # type: ignore[arg-type]  # as in PlanStore.append
        under_way, begun = under_way + users, begun + 1
        number = begun
        seen.append(under_way)
        try:
            await asyncio.sleep(0)
            if number == fail_at and error is not None:
                raise error
            return await append(self, *arguments, **named)  # type: ignore[arg-type]  # handed on as they came
        finally:
            under_way -= users
            seen.append(under_way)

    monkeypatch.setattr(PlanStore, "append", counted)
    return seen


async def test_small_occurrences_of_the_same_instant_are_written_beside_each_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_intervals(desk, names(30))
    await desk.tick_at(TEN - HOUR / 2)
    seen = watched(monkeypatch)

    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(names(30))
    assert 1 < max(seen) <= PLAN_BATCH


async def test_large_occurrences_are_planned_one_after_the_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    users = names(6 * PLAN_BATCH)
    for number, user in enumerate(users):
        desk.enable(user)
        desk.wants(user, {"type": "cron", "cron": f"0,{number % 3 + 5} 10 * * *"})
    await desk.tick_at(TEN - HOUR / 2)
    seen = watched(monkeypatch)

    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(users)
    assert max(seen) == PLAN_BATCH


@pytest.mark.parametrize("error", [LeaseLostError("another leads"), StoreUnavailableError("Redis: lost")])
async def test_nothing_is_under_way_any_more_when_the_planner_gives_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    own_intervals(desk, names(PLAN_BATCH))
    await desk.tick_at(TEN - HOUR / 2)
    seen = watched(monkeypatch, fail_at=2, error=error)

    with pytest.raises(type(error)):
        await desk.tick_at(TEN)
    assert seen[-1] == 0
    monkeypatch.undo()
    await desk.planner.resume(desk.token)
    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(names(PLAN_BATCH))
