"""The next instants of API tasks in step with the clock and the time zones: what is displaced is set right.

Each is found once, when its task is made or has run. A clock that was ahead then, or an older database of time zones,
would keep the task from its instants until that one comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from taskqueue.core.api_run import right_instant
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import InvalidValueError
from taskqueue.runtime import Now
from taskqueue.scheduler.api_tasks import UNREADABLE_REST
from taskqueue.store.api_runs import ApiRuns, ListedTask, Move
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import ApiTasksSetBack

#: the check rests so many times as long as it has worked: with a million tasks it has work for minutes
_RESTS = 4

#: so often all are looked at without a reason: what somebody else has written does not show
_CHECK_EVERY_S = 6 * 3600.0

_LOOK_AT_CLOCK_EVERY_S = 1.0

#: no interval is shorter: a clock that was ahead by less has displaced nothing by more than one interval
_SHORTEST = timedelta(minutes=1)


class ApiInstants:
    """Keeps the next instants right while its process leads."""

    def __init__(self, runs: ApiRuns, lease: Lease, *, now: Now, emit: Emit) -> None:
        self._runs = runs
        self._lease = lease
        self._now = now
        self._emit = emit
        #: how far the clock was ahead of the loop's, which nobody sets, at most since the last check began
        self._ahead = timedelta.min

    async def run(self) -> NoReturn:
        """Check all of them now, whenever the clock was set back, and from time to time.

        Raises LeaseLostError or another StoreError.
        """
        clock = asyncio.get_running_loop().time
        while True:
            self._ahead = timedelta.min
            await self.check()
            checked_at = clock()
            while clock() - checked_at < _CHECK_EVERY_S:
                await asyncio.sleep(_LOOK_AT_CLOCK_EVERY_S)
                if self._look_at_clock():
                    break

    async def check(self) -> int:
        """Set right what is displaced, tell it, and return how many tasks that were. Raises as `run`."""
        clock, moved = asyncio.get_running_loop().time, 0
        began = clock()
        try:
            async for piece in self._runs.listed():
                self._look_at_clock()
                # Some rules take a tenth of a second, so not on the event loop.
                moves = await asyncio.to_thread(_displaced, piece, self._now())
                moved += await self._runs.move(self._lease.token, moves)
                await asyncio.sleep(_RESTS * (clock() - began))
                began = clock()
        finally:
            if moved:
                self._emit(ApiTasksSetBack(tasks=moved))
        return moved

    def _look_at_clock(self) -> bool:
        """Return whether it was set back since the last check began."""
        since_epoch = timedelta(milliseconds=to_unix_ms(self._now()))
        ahead = since_epoch - timedelta(seconds=asyncio.get_running_loop().time())
        self._ahead = max(self._ahead, ahead)
        return self._ahead - ahead > _SHORTEST


def _displaced(piece: Sequence[ListedTask], now: datetime) -> list[Move]:
    """Return the moves of those that are due, or stand in the list, later than they are to be."""
    moves = list[Move]()
    for each in piece:
        task, state = each.known
        if state.next_at is None:
            continue
        try:
            at = right_instant(task, state.next_at, now)
        except InvalidValueError:
            continue  # it is told when it is due
        # Somebody else has put its entry there, unless it was put off because its payload cannot be sent.
        is_late = each.score > to_unix_ms(max(at, now + UNREADABLE_REST))
        if at != state.next_at or is_late:
            moves.append(Move(task_id=task.task_id, at=at, known=each.known))
    return moves
