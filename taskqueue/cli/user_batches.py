"""Writing preferences of users to Redis in batches, for every verb of `taskqueue users` that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from taskqueue.config.sections import RedisSettings
from taskqueue.core.instants import rfc3339
from taskqueue.core.preference import UserPreference
from taskqueue.runtime import utc_now
from taskqueue.store.connection import RedisStore
from taskqueue.store.import_marks import ImportMark, ImportMarks
from taskqueue.store.users import UserStore

#: users written at once
BATCH_USERS = 500
#: a batch is also written when its lines are this large together, so that long lines do not fill the memory
BATCH_BYTES = 4 * 1024 * 1024

Write = Callable[[Collection[UserPreference]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What one line or argument states."""

    #: `file:line`, or which argument
    place: str
    #: in bytes
    size: int
    preference: UserPreference
    #: of a line of a file: the file, and its mark once the line is written
    mark: tuple[str, ImportMark] | None = None


class Batch:
    """Preferences that are written together. What several lines state about one user becomes one preference."""

    def __init__(self, first: Stated) -> None:
        self.place = first.place
        #: by file: how far each is imported once this is written
        self.marks = dict[str, ImportMark]()
        self._size = 0
        self._by_user = dict[str, UserPreference]()
        self.add(first)

    @property
    def preferences(self) -> Collection[UserPreference]:
        """One preference for each user."""
        return self._by_user.values()

    def has_room_for(self, stated: Stated) -> bool:
        """Return whether `stated` still fits."""
        known = stated.preference.user_id in self._by_user
        return self._size + stated.size <= BATCH_BYTES and (known or len(self._by_user) < BATCH_USERS)

    def add(self, stated: Stated) -> None:
        """Take `stated` in."""
        user_id = stated.preference.user_id
        before = self._by_user.get(user_id)
        self._by_user[user_id] = stated.preference if before is None else before.merged(stated.preference)
        self._size += stated.size
        if stated.mark is not None:
            file, self.marks[file] = stated.mark


def batches(read: Iterable[Stated]) -> Iterator[Batch]:
    """Yield what `read` yields, in batches; holds one of them in memory."""
    batch: Batch | None = None
    for stated in read:
        if batch is None:
            batch = Batch(stated)
        elif batch.has_room_for(stated):
            batch.add(stated)
        else:
            yield batch
            batch = Batch(stated)
    if batch is not None:
        yield batch


class RedisWriter:
    """Writes preferences to Redis, and how far they are written. All methods raise StoreError."""

    def __init__(self, store: RedisStore, runner: asyncio.Runner) -> None:
        self._users = UserStore(store)
        self._marks = ImportMarks(store)
        self._runner = runner

    def write(self, preferences: Collection[UserPreference]) -> None:
        """Write `preferences`."""
        self._runner.run(self._users.write(preferences, rfc3339(utc_now())))

    def marks(self, files: Iterable[str]) -> dict[str, ImportMark]:
        """Return how far each of the files came that was left unfinished."""
        return self._runner.run(self._marks.read(files))

    def set_marks(self, marks: Mapping[str, ImportMark]) -> None:
        """Note how far each file has come."""
        self._runner.run(self._marks.set(marks))

    def forget_marks(self, files: Iterable[str]) -> None:
        """Note that the files are finished."""
        self._runner.run(self._marks.forget(files))


@contextmanager
def redis_writer(settings: RedisSettings, *, client_name: str) -> Iterator[RedisWriter]:
    """Yield what writes to Redis. `client_name` is for Redis's list of clients."""
    # The event loop runs only while Redis is asked: a read from a terminal then ends at once with Ctrl-C.
    store = RedisStore(settings, client_name=client_name)
    with asyncio.Runner() as runner:
        try:
            yield RedisWriter(store, runner)
        finally:
            runner.run(store.close())


def write_nothing(_preferences: Collection[UserPreference]) -> None:
    """What `--dry-run` does."""
