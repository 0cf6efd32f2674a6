"""Lists of API tasks: by index and rank, so that the last page costs as much as the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from taskqueue.core.api_task import ApiPriority, ApiTask, ApiTaskState, TaskStatus, TaskType
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_task_record import FIELDS, priority_index, row, status_index, tag_index, type_index
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: where one index does not answer the question, so many tasks of the shortest one are looked at
MOST_LOOKED_AT = 10_000
#: and so many in one script: it lasts some milliseconds, in which Redis does nothing else
_PIECE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTaskFilter:
    """Which tasks are meant: those of which all that is given here is true.

    `name` is the whole name, or with `name_is_prefix` what it begins with.
    """

    status: TaskStatus | None = None
    priority: ApiPriority | None = None
    task_type: TaskType | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    name_is_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTaskPage:
    """Some of the tasks that a filter means, and how many there are of them.

    `complete` is False where only the latest MOST_LOOKED_AT tasks of the shortest index were looked at: then there may
    be more than `total`.
    """

    tasks: tuple[tuple[ApiTask, ApiTaskState], ...]
    total: int
    complete: bool = True


class ApiTaskSearch:
    """Finds API tasks."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def page(self, wanted: ApiTaskFilter, *, limit: int, offset: int) -> ApiTaskPage:
        """Return the tasks from the `offset`-th on, at most `limit`, the latest first; with a name in order of names.

        One index answers for no filter, a status, a priority, both, a type, a tag or a name: whatever the page, that
        costs O(log n + limit), and `total` is exact. Other filters look at no more than MOST_LOOKED_AT tasks. A record
        that another hand has written is left out. Raises DamagedKeyError where an index is of another type,
        StoreUnavailableError when no answer came.
        """
        lists = list(_indexes(wanted))
        if wanted.name is not None:
            lists.insert(0, keys.API_NAMES)
        if len(lists) > 1:
            return await self._sifted(lists, wanted, limit=limit, offset=offset)
        total, *found = await self._scripts.call_again(
            "api_task_list",
            lists or [keys.API_TASKS],
            [keys.API_TASK_PREFIX, offset, limit, *_name_bounds(wanted), *FIELDS],
        )
        return ApiTaskPage(tasks=tuple(_readable(found)), total=int(total))

    async def _sifted(self, lists: Sequence[str], wanted: ApiTaskFilter, *, limit: int, offset: int) -> ApiTaskPage:
        # What is made meanwhile moves the others on: who is met twice counts once.
        found, along, count, looked_at = dict[bytes, None](), 0, 1, 0
        while looked_at < min(count, MOST_LOOKED_AT):
            piece = min(_PIECE, MOST_LOOKED_AT - looked_at)
            along, count, *ids = await self._scripts.call_again(
                "api_task_sift", lists, [along, looked_at, piece, *_name_bounds(wanted)]
            )
            found.update(dict.fromkeys(ids))
            looked_at += piece
        meant = list(found)[offset : offset + limit]
        replies = await self._store.pipeline(
            [("HMGET", keys.API_TASK_PREFIX.encode() + each, *FIELDS) for each in meant]
        )
        # A record that holds another type must not hide the others.
        rows = [[each, *reply] for each, reply in zip(meant, replies, strict=True) if not isinstance(reply, Exception)]
        return ApiTaskPage(tasks=tuple(_readable(rows)), total=len(found), complete=count <= MOST_LOOKED_AT)


def _indexes(wanted: ApiTaskFilter) -> Iterator[str]:
    if wanted.status is not None:
        yield keys.api_index(status_index(wanted.status, wanted.priority))
    elif wanted.priority is not None:
        yield keys.api_index(priority_index(wanted.priority))
    if wanted.task_type is not None:
        yield keys.api_index(type_index(wanted.task_type))
    for key, text in wanted.tags.items():
        yield keys.api_index(tag_index(key, text))


def _name_bounds(wanted: ApiTaskFilter) -> tuple[bytes, bytes]:
    """Return the range of the names that are meant, as ZRANGE BYLEX takes it; a NUL ends each name there."""
    if wanted.name is None:
        return b"", b""
    name = wanted.name.encode(errors="surrogatepass")
    # No byte of UTF-8 is 0xff.
    return (b"[" + name, b"(" + name + b"\xff") if wanted.name_is_prefix else (b"[" + name + b"\0", b"(" + name + b"\1")


def _readable(rows: Iterable[Sequence[bytes | None]]) -> Iterator[tuple[ApiTask, ApiTaskState]]:
    for task_id, *values in rows:
        try:
            known = row((task_id or b"").decode(errors="replace"), values)
        except DamagedKeyError:
            continue
        if known is not None:
            yield known
