"""A tasks.yaml that is looked at, and what is said about it."""

from __future__ import annotations

from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.telemetry.events import CatalogReloaded
from tests.support.scheduling import EventLog, TasksFile


async def polled(watch: CatalogWatch, times: int = 2) -> CatalogWatch:
    """Let the watch look so many times; two equal reads are one change."""
    for _ in range(times):
        await watch.poll()
    return watch


def errors(events: EventLog) -> list[str | None]:
    """Return what was said to be wrong with the file."""
    return [event.error for event in events.of(CatalogReloaded) if not event.ok]


def write_broken(file: TasksFile) -> None:
    """Write a file that cannot be used."""
    file.path.write_text("tasks: [{id: a, interval: {type: sometimes}}]\n", encoding="utf-8")
