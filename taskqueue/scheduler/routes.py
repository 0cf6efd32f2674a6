"""The scheduler's internal endpoints, as in the spec: /health, /schedule/trigger, /schedule/status/{task_type_id}."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taskqueue import __version__
from taskqueue.config.duration import format_duration
from taskqueue.core.file_task import in_slot_order, triggered_occurrence
from taskqueue.core.ids import IDEMPOTENCY_KEY_RULE, check_user_id, is_idempotency_key, repeatable_trigger_id
from taskqueue.core.instants import from_unix_ms, parse_rfc3339, rfc3339, to_unix_ms
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.task import Task
from taskqueue.errors import InvalidValueError
from taskqueue.request_body import read_json_object
from taskqueue.runtime import Now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.planner import PlanDefaults
from taskqueue.store.plan import PlanStore

_TRIGGER_FIELDS = frozenset({"task_type_id", "user_ids", "execute_immediately"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRequest:
    """The body of POST /schedule/trigger, checked; `user_ids` without repetitions."""

    task_type_id: str
    user_ids: tuple[str, ...]
    execute_immediately: bool


class SchedulerRoutes:
    """Answers for one scheduler process, leading or not."""

    def __init__(
        self,
        catalog: CatalogWatch,
        index: AudienceIndex,
        plan: PlanStore,
        defaults: PlanDefaults,
        *,
        health: Callable[[], Mapping[str, object]],
        now: Now,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._plan = plan
        self._defaults = defaults
        self._health = health
        self._now = now

    def routes(self) -> list[Route]:
        """Return the routes for the ops server."""
        return [
            Route("/health", self._get_health),
            Route("/schedule/trigger", self._trigger, methods=["POST"]),
            Route("/schedule/status/{task_type_id}", self._status),
        ]

    async def _get_health(self, _request: Request) -> Response:
        health = self._health()
        return JSONResponse(health, status_code=200 if health["status"] == "healthy" else 503)

    async def _trigger(self, request: Request) -> Response:
        trigger = parse_trigger(await read_json_object(request))
        task = self._task(trigger.task_type_id)
        window = timedelta(0) if trigger.execute_immediately else self._defaults.window_of(task)
        if not task.enabled:
            paused = task.id in self._catalog.paused
            remedy = f"`taskqueue task resume {task.id}`" if paused else "set enabled: true in tasks.yaml"
            raise HTTPException(
                409, f"task type {task.id!r} is {'paused' if paused else 'disabled'}; {remedy} to run it"
            )
        occurrence = self._triggered(trigger, window, request.headers)
        users = in_slot_order(task.id, trigger.user_ids)
        await self._plan.add_trigger(occurrence, users, self._defaults.batch_size, max_age=task.max_age)
        answer = {"jobs_created": len(users), "distribution_window": format_duration(window)}
        return JSONResponse(answer, status_code=202)

    async def _status(self, request: Request) -> Response:
        task = self._task(request.path_params["task_type_id"])
        last = await self._plan.last_execution(task.id)
        following = task.rule().next_after(self._now()) if task.enabled else None
        return JSONResponse(
            {
                "task_type_id": task.id,
                "last_execution": _readable(last),
                "next_execution": None if following is None else rfc3339(following),
                "enabled_users": self._index.count(task),
                "interval": task.interval.as_dict(),
            }
        )

    def _task(self, task_type_id: str) -> Task:
        task = self._catalog.tasks.get(task_type_id)
        if task is None:
            known = ", ".join(sorted(self._catalog.tasks)[:10])
            raise HTTPException(404, f"no task type {task_type_id[:80]!r} in tasks.yaml; there are: {known}")
        return task

    def _triggered(self, trigger: TriggerRequest, window: timedelta, headers: Headers) -> Occurrence:
        now = from_unix_ms(to_unix_ms(self._now()))
        key = _checked_key(headers.get("idempotency-key", ""))
        # The order says nothing of whom to call, and who asks again may have it from a set.
        request = (str(trigger.execute_immediately), *sorted(trigger.user_ids))
        trigger_id = repeatable_trigger_id(key, trigger.task_type_id, *request) if key else str(uuid4())
        return triggered_occurrence(
            trigger.task_type_id,
            trigger_id,
            len(trigger.user_ids),
            now,
            correlation_id=headers.get("x-request-id", trigger_id)[:200],
            window=None if trigger.execute_immediately else window,
        )


def parse_trigger(body: Mapping[str, object]) -> TriggerRequest:
    """Return the checked body of a trigger. Raises InvalidValueError that names the field and what it should be."""
    if unknown := sorted(body.keys() - _TRIGGER_FIELDS):
        raise InvalidValueError(f"{unknown[0]}: no such field; there are {', '.join(sorted(_TRIGGER_FIELDS))}")
    task_type_id, user_ids = body.get("task_type_id"), body.get("user_ids")
    immediately = body.get("execute_immediately", False)
    if not isinstance(task_type_id, str):
        raise InvalidValueError("task_type_id: give the id of a task type as text")
    if not isinstance(user_ids, list) or not user_ids:
        raise InvalidValueError("user_ids: give a list of at least one user id")
    if not isinstance(immediately, bool):
        raise InvalidValueError("execute_immediately: use true or false")
    checked = (_checked_user(number, user) for number, user in enumerate(user_ids))
    return TriggerRequest(
        task_type_id=task_type_id, user_ids=tuple(dict.fromkeys(checked)), execute_immediately=immediately
    )


def scheduler_health(*, healthy: bool, started: datetime, now: datetime, **details: object) -> dict[str, object]:
    """Return the body of /health: the spec's fields first, `uptime` in whole seconds, ours behind them."""
    return {
        "status": "healthy" if healthy else "unhealthy",
        "version": __version__,
        "uptime": int((now - started).total_seconds()),
        **details,
    }


def _checked_key(key: str) -> str:
    # Empty is as if it were left out.
    if key and not is_idempotency_key(key):
        raise InvalidValueError(f"Idempotency-Key: {IDEMPOTENCY_KEY_RULE}")
    return key


def _checked_user(number: int, user: object) -> str:
    if not isinstance(user, str):
        raise InvalidValueError(f"user_ids[{number}]: a user id is text")
    try:
        return check_user_id(user)
    except InvalidValueError as error:
        raise InvalidValueError(f"user_ids[{number}]: {error}") from None


def _readable(last: str | None) -> str | None:
    # The key is the spec's, so others may write it; what is no time there is no execution either.
    if last is None:
        return None
    try:
        return rfc3339(parse_rfc3339(last).astimezone(UTC))
    except InvalidValueError:
        return None
