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

from taskqueue.config.catalog import Catalog, catalog_of_tasks, parse_catalog
from taskqueue.core.catalog_change import mass_delete
from taskqueue.core.task import Task
from taskqueue.errors import ConfigError
from taskqueue.scheduler.file_look import FileLook, Signature, look_again, look_at
from taskqueue.store.catalog import StandingCatalog
from taskqueue.telemetry.events import CatalogReloaded, Emit
from taskqueue.telemetry.scheduler_events import CatalogSucceeded, TasksPaused

#: of a file with thousands of mistakes so many are told; /health and the log are no place for more
_MOST_PROBLEMS = 20

#: seconds; reading a file of the largest size takes a hundredth of it
_LOOK_WITHIN_S = 5.0


class CatalogWatch:
    """The task definitions in force. Raises ConfigError when there is no valid file to begin with.

    A changed file counts once two reads, one poll apart, give the same bytes: a half-written one is not looked at. Nor
    is one told that is away for a moment only, while an editor swaps it.
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
        look = look_at(path)
        #: that of the file which was judged last; None: whatever stands there is looked at anew
        self._signature: Signature | None = look.signature
        #: a look that is under way, perhaps since an earlier poll
        self._looking: asyncio.Future[FileLook | None] | None = None
        #: what the look before found that is to be confirmed: a digest, or why there was none
        self._seen: str | None = None
        self._catalog = self._in_force = parse_catalog(look.content, str(path))
        #: the last definitions of removed tasks, of which jobs may still be on their way
        self._departed: Mapping[str, Task] = {}
        self._definitions: Mapping[str, Task] = self._in_force.tasks
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
    def definitions(self) -> Mapping[str, Task]:
        """Those, and the last ones of removed tasks: what jobs on their way go by. Another object when any changes."""
        return self._definitions

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
            look = await self._look()
        except ConfigError as error:
            # Once it can be read again it is looked at anew, even if it is the very same file.
            self._signature = None
            if self._is_confirmed(str(error)):
                self._refuse(f"{error}; the last good version stays in force")
            return
        if look is not None and self._is_confirmed(sha256(look.content).hexdigest()):
            self._seen, self._signature = None, look.signature
            await self._take_over(look.content)

    async def _look(self) -> FileLook | None:
        """Return what stands there if it may be news. Raises ConfigError."""
        if self._looking is None:
            known = self._signature if self._seen is None else None
            # A file system that does not answer must not hold up the lease and the release.
            self._looking = asyncio.ensure_future(asyncio.to_thread(look_again, self._path, known))
        await asyncio.wait({self._looking}, timeout=_LOOK_WITHIN_S)
        if not self._looking.done():  # there is never more than one thread that waits for it
            raise ConfigError(f"{self._path}: its file system does not answer; check what is mounted there")
        looking, self._looking = self._looking, None
        return looking.result()

    def _is_confirmed(self, seen: str) -> bool:
        """Return whether the look before has seen the same; what it was is remembered for the next one."""
        before, self._seen = self._seen, seen
        return before == seen

    async def _take_over(self, content: bytes) -> None:
        try:
            # Thousands of tasks take seconds to check: the lease and the release go on meanwhile.
            catalog = await asyncio.to_thread(parse_catalog, content, self._path.name)
        except ConfigError as error:
            self._refuse(_in_brief(error))
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
        self._departed = {**self._departed, **{task_id: self._catalog.tasks[task_id] for task_id in removed}}
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
        self._departed = {task_id: task for task_id, task in self._departed.items() if task_id not in tasks}
        self._definitions = {**self._departed, **self._in_force.tasks}

    def succeed(self, before: StandingCatalog) -> None:
        """Compare with what the leader before put in force, and tell what differs.

        Where the file drops too many of those tasks, they stay in force, as if this process had loaded them itself:
        they are those of the last good version, and the file may be an old one. Where this process itself has refused
        the file for that, and the leader before has not, the file counts.
        """
        known = before.tasks.keys() | before.unreadable
        self._follow_mass_delete(known)
        self._departed = {**self._departed, **before.tasks, **before.removed}
        self._combine()
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


def _in_brief(error: ConfigError) -> str:
    told = error.problems[:_MOST_PROBLEMS]
    more = len(error.problems) - len(told) + error.more
    return "\n".join(told) + (f"\nand {more:,} more; taskqueue config validate shows more of them" if more else "")
