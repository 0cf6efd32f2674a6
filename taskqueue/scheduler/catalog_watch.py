"""Hot reload of tasks.yaml: the last good version stays in force until a better one is complete and valid.

The file is polled, not watched: editors, `mv`, ConfigMap symlinks and network file systems all look the same to stat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from taskqueue.config.catalog import Catalog, catalog_of_tasks, load_catalog, parse_catalog
from taskqueue.core.catalog_change import mass_delete
from taskqueue.core.task import Task
from taskqueue.errors import ConfigError
from taskqueue.store.catalog import StandingCatalog
from taskqueue.telemetry.events import CatalogReloaded, Emit
from taskqueue.telemetry.scheduler_events import CatalogSucceeded, TasksPaused

_Signature = tuple[int, int, int]


class CatalogWatch:
    """The task definitions in force. Raises ConfigError when there is no valid file to begin with.

    A changed file counts once two reads, one poll apart, give the same bytes: a half-written one is not looked at.
    One that drops more than half of the tasks is refused unless `allow_mass_delete`, and so is one that drops more than
    half of those that the leader before had (`succeed`). What was refused that way counts after all once a leader has
    put it in force: it was meant.

    A task type that is paused through the API is in force as if the file said `enabled: false`.
    """

    def __init__(self, path: Path, *, poll_interval: timedelta, allow_mass_delete: bool, emit: Emit) -> None:
        self._path = path
        self._poll_s = poll_interval.total_seconds()
        self._allow_mass_delete = allow_mass_delete
        self._emit = emit
        self._signature = _signature(path) if path.exists() else None
        self._seen_digest: str | None = None
        self._catalog = self._in_force = load_catalog(path)
        #: task types that are paused, whether there are any of that id or not
        self._all_paused: frozenset[str] = frozenset()
        #: those of them that the file would let run
        self.paused: frozenset[str] = frozenset()
        self.changed = asyncio.Event()
        #: what is wrong with the file now; None while the definitions in force are those of the file
        self.error: str | None = None
        #: the last file that was refused for what it drops, and in which words
        self._too_short: tuple[Catalog, str] | None = None
        self._told()

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The definitions in force, by task id."""
        return self._in_force.tasks

    @property
    def revision(self) -> str:
        """What the definitions in force are known by."""
        return self._in_force.revision

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            await self.poll()

    async def poll(self) -> None:
        """Look at the file once."""
        try:
            signature = _signature(self._path)
            if signature == self._signature and self._seen_digest is None:
                return
            content = self._path.read_bytes()
        except OSError as error:
            # Once it can be read again it is looked at anew, even if it is the very same file.
            self._signature = self._seen_digest = None
            self._refuse(f"{self._path.name}: {error.strerror}; the last good version stays in force")
            return
        digest = sha256(content).hexdigest()
        if digest != self._seen_digest:
            self._seen_digest = digest  # changed since the last look: look again before believing it
            return
        self._seen_digest = None
        self._signature = signature
        await self._take_over(content)

    async def _take_over(self, content: bytes) -> None:
        try:
            # Thousands of tasks take seconds to check: the lease and the release go on meanwhile.
            catalog = await asyncio.to_thread(parse_catalog, content, self._path.name)
        except ConfigError as error:
            self._refuse(str(error))
            return
        refusal = self._mass_delete(self._catalog.tasks.keys(), catalog)
        if refusal is None:
            self._put_in_force(catalog)
        else:
            self._too_short = catalog, refusal
            self._refuse(refusal)

    def _put_in_force(self, catalog: Catalog) -> None:
        removed = tuple(sorted(self._catalog.tasks.keys() - catalog.tasks.keys()))
        known = catalog.revision == self._catalog.revision and self.error is None
        self._catalog, self.error, self._too_short = catalog, None, None
        self._combine()
        if not known:
            self.changed.set()
            self._told(removed)

    def pause(self, task_ids: frozenset[str]) -> None:
        """Let exactly these task types be paused."""
        if task_ids == self._all_paused:
            return
        before, self._all_paused = self._in_force.revision, task_ids
        self._combine()
        if self._in_force.revision != before:
            self.changed.set()
            self._emit(TasksPaused(paused=tuple(sorted(self.paused))))

    def _combine(self) -> None:
        tasks = self._catalog.tasks
        self.paused = frozenset(task_id for task_id in self._all_paused & tasks.keys() if tasks[task_id].enabled)
        off = {task_id: replace(tasks[task_id], enabled=False) for task_id in self.paused}
        self._in_force = catalog_of_tasks({**tasks, **off}) if off else self._catalog

    def succeed(self, before: StandingCatalog) -> None:
        """Compare with what the leader before put in force, and tell what differs.

        Where the file drops too many of those tasks, they stay in force, as if this process had loaded them itself:
        they are those of the last good version, and the file may be an old one. Where this process itself has refused
        the file for that, and the leader before has not, the file counts.
        """
        known = before.tasks.keys() | before.unreadable
        self._follow_mass_delete(known)
        present = self.tasks
        removed = tuple(sorted(known - present.keys()))
        changed = sum(present.get(task_id, task) != task for task_id, task in before.tasks.items())
        added = len(present.keys() - known)
        if not known or not (removed or changed or added):
            return
        # With none that can be read, a refusal would leave nothing in force.
        refusal = self._mass_delete(known, self._catalog) if before.tasks else None
        self._emit(
            CatalogSucceeded(
                written_by=before.written_by,
                added=added,
                changed=changed,
                removed=removed,
                refused=refusal is not None,
            )
        )
        if refusal is not None:
            ours = {task_id: task for task_id, task in self._catalog.tasks.items() if task_id in before.unreadable}
            theirs = {task_id: self._let_go_on(task) for task_id, task in before.tasks.items()}
            self._too_short = self._catalog, refusal
            self._catalog = catalog_of_tasks({**ours, **theirs})
            self._combine()
            self._refuse(refusal)

    def _let_go_on(self, task: Task) -> Task:
        """Return a task that the leader before had in force, as it is without a pause."""
        return replace(task, enabled=True) if task.id in self._all_paused else task

    def _follow_mass_delete(self, known: Set[str]) -> None:
        """Put the file in force that was refused here, if it drops little of what the leader before had."""
        if self._too_short is None or not known or self._mass_delete(known, self._too_short[0]) is not None:
            return
        catalog, refusal = self._too_short
        # The file may be worse by now.
        error = None if self.error == refusal else self.error
        self._put_in_force(catalog)
        self.error = error

    def _mass_delete(self, known: Set[str], catalog: Catalog) -> str | None:
        """Return why `catalog` must not follow on the `known` tasks; None where it may."""
        if self._allow_mass_delete:
            return None
        refusal = mass_delete(known, catalog.tasks.keys())
        return None if refusal is None else f"{self._path.name}: {refusal}"

    def _refuse(self, error: str) -> None:
        if error != self.error:
            self.error = error
            self._emit(CatalogReloaded(ok=False, revision=self.revision, tasks=len(self.tasks), error=error))

    def _told(self, removed: tuple[str, ...] = ()) -> None:
        self._emit(
            CatalogReloaded(
                ok=True,
                revision=self.revision,
                tasks=len(self.tasks),
                removed=removed,
                warnings=self._catalog.warnings,
            )
        )


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
