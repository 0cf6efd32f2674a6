"""What several endpoints need of tasks: finding one, and saying why one cannot be changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from starlette.requests import Request

from taskqueue.api.idempotency import idempotency_seed
from taskqueue.api.new_tasks import Surroundings
from taskqueue.api.problems import ProblemError, conflict, invalid_field, not_found
from taskqueue.api.services import Services
from taskqueue.core.ids import check_task_id, repeatable_trigger_id
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.errors import InvalidValueError
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore, HasDependents, Refusal
from taskqueue.store.file_tasks import FileTaskRefusal, FileTasks


def task_store(services: Services) -> ApiTaskStore:
    """Return the store of tasks."""
    return ApiTaskStore(services.store, services.scripts)


def file_tasks(services: Services) -> FileTasks:
    """Return what switches task types of tasks.yaml."""
    return FileTasks(services.store, services.scripts)


def present(services: Services) -> datetime:
    """Return the present instant, in whole milliseconds as Redis has it."""
    return from_unix_ms(to_unix_ms(services.now()))


async def surroundings(services: Services) -> Surroundings:
    """Return what requests are judged by now. Raises StoreError."""
    return Surroundings(
        task_types=await services.task_types.known(),
        default_target=services.settings.api.default_target,
        now=present(services),
    )


async def known_task(services: Services, task_id: str) -> ApiTaskRow:
    """Return the task and its state. Raises ProblemError 404, and StoreError."""
    row = await task_store(services).get(task_id) if is_task_id(task_id) else None
    if row is None:
        raise no_such_task(task_id)
    return (await file_tasks(services).current([row], present(services)))[0]


def is_task_id(text: str) -> bool:
    """Return whether a task can have this id; in keys of Redis only such may stand."""
    try:
        check_task_id(text)
    except InvalidValueError:
        return False
    return True


def no_such_task(task_id: str) -> ProblemError:
    """404: no task has this id."""
    return not_found(f"no task {task_id[:80]!r}; it was deleted, or never there", code="no_such_task")


def refusal(task_id: str, reason: Refusal | FileTaskRefusal) -> ProblemError:
    """Return the problem that `reason` is."""
    match reason:
        case Refusal.GONE | FileTaskRefusal.GONE:
            return no_such_task(task_id)
        case FileTaskRefusal.OFF_IN_FILE:
            return conflict(f"tasks.yaml says enabled: false for {task_id!r}; change it there", code="off_in_file")
        case Refusal.READ_ONLY:
            return conflict(f"{task_id!r} is a task type of tasks.yaml; change it in that file", code="read_only")
        case Refusal.OVER:
            detail = "the task has run, and will not again; PATCH its next_execution_time, or trigger it"
            return conflict(detail, code="task_over")


def has_dependents(outcome: HasDependents) -> ProblemError:
    """409: other tasks depend on the one that was to be deleted."""
    dependents = [{"task_id": task_id, "task_name": name} for task_id, name in outcome.dependents]
    named = ", ".join(f"{name!r} ({task_id})" for task_id, name in outcome.dependents[:3])
    more = f" and {outcome.count - 3} more" if outcome.count > 3 else ""
    detail = f"other tasks depend on it: {named}{more}; remove those dependencies, or delete all of them in bulk"
    return conflict(detail, code="has_dependents", dependents=dependents)


def check_count(field: str, items: Sequence[object], services: Services) -> None:
    """Raise ProblemError 422 where a list of a request, its field `field`, has more items than `api.max_bulk`."""
    most = services.settings.api.max_bulk
    if len(items) > most:
        raise invalid_field(f"/{field}", f"has {len(items)} items; use at most {most} in one request")


class NewIds:
    """Ids for what a request makes: random ones, but the same for a request that comes again with its key."""

    def __init__(self, request: Request) -> None:
        self._seed = idempotency_seed(request)

    def make(self, number: int = 0) -> str:
        """Return the id of the `number`-th thing, a UUID in lower case."""
        return str(uuid4()) if self._seed is None else repeatable_trigger_id(self._seed, str(number))
