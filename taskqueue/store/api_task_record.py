"""The record of an API task in Redis: its definition as JSON, and fields for what has become of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from taskqueue.config.catalog import interval_from_dict
from taskqueue.core.api_task import ApiPriority, ApiTask, ApiTaskState, TaskStatus, TaskType
from taskqueue.core.ids import percent_encoded
from taskqueue.core.instants import from_unix_ms, parse_rfc3339, rfc3339, to_unix_ms
from taskqueue.core.interval import Every
from taskqueue.core.task import Target, TaskSource
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys

#: as JSON, UTF-8: with the message around it, in base64, it is to be less than codec.MAX_BODY_BYTES
MAX_PAYLOAD_BYTES = 64 * 1024

#: what `row` takes, in this order
FIELDS = ("doc", "rev", "status", "next_at", "last_at", "retry_count", "last_execution", "paused_at")

_MILLISECOND = timedelta(milliseconds=1)

#: json.loads guesses the encoding of each text, and json.dumps makes an encoder for each value
_DECODER = json.JSONDecoder()
_encoded: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def payload_body(task: ApiTask) -> bytes:
    """Return the payload as a job carries it: JSON in UTF-8. Raises InvalidValueError where it is none, or too long."""
    try:
        body = _encoded(task.payload).encode()
    except UnicodeEncodeError:
        raise InvalidValueError("payload: has a lone surrogate; write the whole character") from None
    except (TypeError, ValueError, RecursionError):
        raise InvalidValueError("payload: not a JSON value") from None
    if len(body) > MAX_PAYLOAD_BYTES:
        raise InvalidValueError(f"payload: {len(body)} bytes of JSON; use at most {MAX_PAYLOAD_BYTES}")
    return body


def task_to_json(task: ApiTask) -> bytes:
    """Return the definition as JSON. Raises InvalidValueError for a payload that `payload_body` refuses."""
    target = {
        "endpoint": task.target.endpoint,
        "method": task.target.method,
        "headers": dict(task.target.headers),
        "max_duration_ms": None if task.target.max_duration is None else task.target.max_duration // _MILLISECOND,
        "signing_secrets": list(task.target.signing_secrets),
    }
    document = {
        "task_id": task.task_id,
        "task_name": task.task_name,
        "task_type": task.task_type.value,
        "schedule_expression": task.schedule_expression,
        "run_at": None if task.run_at is None else rfc3339(task.run_at),
        "interval": None if task.interval is None else task.interval.as_dict(),
        "timezone": task.timezone,
        "timeout_seconds": task.timeout_seconds,
        "max_retries": task.max_retries,
        "priority": task.priority.value,
        "tags": dict(task.tags),
        "enabled": task.enabled,
        "target": target,
        "created_at": rfc3339(task.created_at),
        "updated_at": rfc3339(task.updated_at),
        "revision": task.revision,
        "source": task.source.value,
    }
    given = {name: value for name, value in document.items() if value is not None}
    return _encoded(given).encode()[:-1] + b',"payload":' + payload_body(task) + b"}"


def task_from_json(text: bytes) -> ApiTask:
    """Return the definition that `task_to_json` wrote. Raises InvalidValueError for anything else."""
    try:
        return _task(_DECODER.decode(text.decode()))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidValueError(f"stored API task: {str(error)[:200]}") from None


def row(task_id: str, values: Sequence[bytes | None]) -> tuple[ApiTask, ApiTaskState] | None:
    """Return what the record's FIELDS say, None where there is no such task.

    Raises DamagedKeyError for a record that another hand has written.
    """
    doc, revision, *state = values
    task = definition(task_id, doc)
    if task is None:
        return None
    if revision != b"%d" % task.revision:
        raise _of_two_revisions(task, revision)
    try:
        return task, _state(*state)
    except InvalidValueError as error:
        raise _damaged(task_id, error) from None


def definition(task_id: str, doc: bytes | None) -> ApiTask | None:
    """Return what the record's field `doc` says, None where there is no such task. Raises DamagedKeyError as `row`."""
    if doc is None:
        return None
    try:
        task = task_from_json(doc)
        if task.task_id != task_id:
            raise InvalidValueError(f"stored API task: its id is {task.task_id}")
    except InvalidValueError as error:
        raise _damaged(task_id, error) from None
    return task


def status_index(status: TaskStatus, priority: ApiPriority | None = None) -> str:
    """Return the name of the list of the tasks with this status, and this priority where one is given."""
    return f"status:{status}" if priority is None else f"status:{status}:{priority_index(priority)}"


def priority_index(priority: ApiPriority) -> str:
    """Return the name of the list of the tasks with this priority."""
    return f"priority:{priority}"


def type_index(task_type: TaskType) -> str:
    """Return the name of the list of the tasks of this type."""
    return f"type:{task_type}"


def tag_index(key: str, text: str) -> str:
    """Return the name of the list of the tasks with this tag."""
    return f"tag:{percent_encoded(key)}={percent_encoded(text)}"


def indexes(task: ApiTask) -> str:
    """Return the record's field `indexes`: the lists that follow from the definition, that of the priority first."""
    tags = (tag_index(key, text) for key, text in task.tags.items())
    return "\n".join((priority_index(task.priority), type_index(task.task_type), *tags))


def instant_text(instant: datetime | None) -> int | str:
    """Return `instant` as records have it: unix ms, empty for none."""
    return "" if instant is None else to_unix_ms(instant)


def _damaged(task_id: str, error: InvalidValueError) -> DamagedKeyError:
    return DamagedKeyError(keys.api_task(task_id), f"cannot be read: {error}", unreadable=True)


def _of_two_revisions(task: ApiTask, revision: bytes | None) -> DamagedKeyError:
    # Every change and every run compares the two: such a task would never run, and whoever changes it try for ever.
    key, beside = keys.api_task(task.task_id), (revision or b"none").decode(errors="replace")[:20]
    problem = f"has the definition of revision {task.revision} beside the field rev of {beside}"
    return DamagedKeyError(
        key, problem, unreadable=True, remedy=f"let them agree: redis-cli HSET {key} rev {task.revision}"
    )


def _task(document: Mapping[str, Any]) -> ApiTask:
    target, run_at, interval = document["target"], document.get("run_at"), document.get("interval")
    milliseconds = target["max_duration_ms"]
    return ApiTask(
        task_id=document["task_id"],
        task_name=document["task_name"],
        task_type=TaskType(document["task_type"]),
        schedule_expression=document.get("schedule_expression"),
        run_at=None if run_at is None else parse_rfc3339(run_at),
        interval=None if interval is None else _every(json.dumps(interval)),
        timezone=document["timezone"],
        payload=document["payload"],
        timeout_seconds=int(document["timeout_seconds"]),
        max_retries=int(document["max_retries"]),
        priority=ApiPriority(document["priority"]),
        tags=dict(document["tags"]),
        enabled=bool(document["enabled"]),
        target=Target(
            endpoint=target["endpoint"],
            method=target["method"],
            headers=dict(target["headers"]),
            max_duration=None if milliseconds is None else milliseconds * _MILLISECOND,
            signing_secrets=tuple(target["signing_secrets"]),
        ),
        created_at=parse_rfc3339(document["created_at"]),
        updated_at=parse_rfc3339(document["updated_at"]),
        revision=int(document["revision"]),
        source=TaskSource(document["source"]),
    )


@lru_cache(maxsize=1024)
def _every(interval: str) -> Every:
    # Checking one takes as long as all else in a record, and many tasks have the same.
    rule = interval_from_dict(json.loads(interval))
    if not isinstance(rule, Every):
        raise InvalidValueError("interval: not one of hourly, daily, weekly and monthly")
    return rule


def _state(
    status: bytes | None,
    next_at: bytes | None,
    last_at: bytes | None,
    retry_count: bytes | None,
    last_execution: bytes | None,
    paused_at: bytes | None,
) -> ApiTaskState:
    try:
        return ApiTaskState(
            status=TaskStatus((status or b"").decode()),
            next_at=_instant(next_at),
            last_at=_instant(last_at),
            retry_count=int(retry_count or 0),
            last_execution_id=last_execution.decode() if last_execution else None,
            paused_at=_instant(paused_at),
        )
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(f"stored API task: {str(error)[:200]}") from None


def _instant(text: bytes | None) -> datetime | None:
    return from_unix_ms(int(text)) if text else None
