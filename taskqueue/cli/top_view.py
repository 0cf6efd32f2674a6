"""How `taskqueue top` looks: parts above one another, each readable in 40 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from taskqueue.cli.terminal import printable
from taskqueue.cli.top_scene import Scene
from taskqueue.cli.top_sources import QueueView, StoreView, Watched
from taskqueue.core.instants import rfc3339

_QUEUE_PREFIX = "taskqueue.jobs."

#: rates from here on are shown without decimals
_WHOLE_FROM = 1_000

#: limits that are shown, those that most jobs wait for
_SHOWN = 5


def drawn(scene: Scene, hint: str = "") -> RenderableType:
    """Return the whole picture; `hint` stands behind the title."""
    store, queues = scene.store.latest, scene.queues.latest
    parts: list[RenderableType] = [_title(store, hint)]
    parts += [_away("Redis", scene.store.away)] if store is None else [*_old("Redis", scene.store), _head(scene, store)]
    parts += (
        [_away("RabbitMQ", scene.queues.away)]
        if queues is None
        else [*_old("RabbitMQ", scene.queues), _queues(scene, queues)]
    )
    if store is not None:
        parts += [_in_progress(store), _waiting(store)]
    return Group(*parts)


def _title(store: StoreView | None, hint: str) -> Text:
    at = "" if store is None else f" {rfc3339(store.pulse.at.replace(microsecond=0))}"
    return Text.assemble(("taskqueue", "bold"), at, (f"  {hint}", "dim"), no_wrap=True, overflow="ellipsis")


def _away(service: str, reason: str | None) -> Text:
    if reason is None:
        return Text(f"\n{service}: no answer yet", style="dim")
    return Text.assemble((f"\n{service} is away", "bold red"), f": {printable(reason)}", overflow="fold")


def _old(service: str, watched: Watched[Any]) -> list[Text]:
    """Return what to say where the numbers of a service are not those of now."""
    age_s = watched.old_s()
    return [] if age_s is None else [Text(f"\n{service}: {age_s:.0f} s old", style="red")]


def _head(scene: Scene, store: StoreView) -> Table:
    lease, pulse = store.lease, store.pulse
    since = "" if lease.leading_since is None else f", since {lease.leading_since:%H:%M:%S}Z"
    leader = Text(f"{printable(lease.leader)}{since}") if lease.leader else Text("nobody leads", style="bold red")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("leader", leader)
    table.add_row("standby", Text(", ".join(map(printable, lease.followers)) or "nobody"))
    table.add_row("workers", _workers(store))
    table.add_row("ended", _ends(pulse.ended, scene.ended_per_s()))
    table.add_row("failed", _ends(pulse.failed, scene.failed_per_s()))
    return table


def _workers(store: StoreView) -> Text:
    active = [worker for worker in store.workers if worker.active]
    silent = len(store.workers) - len(active)
    if not active:
        return Text("none active", style="bold red")
    load, capacity = sum(each.current_load for each in active), sum(each.capacity for each in active)
    text = Text(f"{len(active):,} active, {load:,} of {capacity:,} busy")
    return text.append(f", {silent:,} silent", style="red") if silent else text


def _ends(today: int | None, per_s: float | None) -> str:
    if today is None:
        return "not counted"
    return f"{today:,} today" + ("" if per_s is None else f", {per_s:,.1f}/s")


def _queues(scene: Scene, view: QueueView) -> Table:
    table = _table("queue", "ready", "consumers", "+/s")
    for queue, count in view.counts.items():
        name = queue.removeprefix(_QUEUE_PREFIX)
        if count is None:
            table.add_row(name, Text("missing", style="red"), "", "")
            continue
        growth = scene.growth_per_s(queue)
        table.add_row(name, f"{count.ready:,}", f"{count.consumers:,}", _growth(growth))
    return table


def _growth(per_s: float | None) -> str:
    if per_s is None:
        return ""
    return f"{per_s:+,.1f}" if abs(per_s) < _WHOLE_FROM else f"{per_s:+,.0f}"


def _in_progress(store: StoreView) -> Table:
    table = _table("in progress", "due", "released", "of")
    for occurrence, progress in store.live:
        due = f"{occurrence.scheduled_at:%H:%M:%S}"
        table.add_row(printable(occurrence.task_id), due, f"{progress.released:,}", f"{occurrence.users:,}")
    more = store.pulse.occurrences - len(store.live)
    if not store.live or more > 0:
        table.add_row(Text(f"and {more:,} more" if store.live else "nothing", style="dim"), "", "", "")
    return table


def _waiting(store: StoreView) -> Table:
    table = _table("waiting", "jobs")
    for name, jobs in _longest(store.waiting):
        table.add_row(f"for {printable(name)}", f"{jobs:,}")
    table.add_row("for their time", f"{store.pulse.delayed:,}")
    if store.pulse.api_waiting:
        table.add_row("tasks, for other tasks", f"{store.pulse.api_waiting:,}")
    return table


def _longest(waiting: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    names = sorted(waiting, key=lambda name: (-waiting[name], name))
    yield from ((name, waiting[name]) for name in names[:_SHOWN])
    if rest := names[_SHOWN:]:
        yield f"{len(rest):,} other limits", sum(waiting[name] for name in rest)


def _table(first: str, *numbers: str) -> Table:
    """Return a table whose first column folds where the terminal is narrow, below an empty line."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title=" ", pad_edge=False)
    table.add_column(first, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
