"""Going on looking while the service that is asked is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from taskqueue.errors import StoreUnavailableError, UnreachableError

_T = TypeVar("_T")

#: seconds between two looks while nobody answers
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


async def answered(look: Callable[[], Awaitable[_T]], patience_s: float) -> _T:
    """Return what `look` returns; while the API or Redis is away it looks again, which is said once on stderr.

    Raises UnreachableError or StoreUnavailableError after `patience_s` seconds without an answer, and what else `look`
    raises at once.
    """
    loop = asyncio.get_running_loop()
    give_up_at, pause_s, told = loop.time() + patience_s, _FIRST_PAUSE, False
    while True:
        try:
            return await look()
        except (UnreachableError, StoreUnavailableError) as error:
            if loop.time() + pause_s > give_up_at:
                raise
            if not told:
                told = True
                typer.echo(f"warning: {error}; looking again for up to {patience_s:.0f} s", err=True)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE)
