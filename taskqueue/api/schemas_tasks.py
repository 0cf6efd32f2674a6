"""The bodies of requests that make, change, find or run a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from taskqueue.api.schemas import (
    CONTROL_CHARACTERS,
    GivenInstant,
    ListQuery,
    Optionally,
    RequestBody,
    check_line,
)
from taskqueue.config.catalog import interval_from_dict
from taskqueue.config.http_fields import Endpoint, Headers
from taskqueue.config.models import CallTimeout, TaskId
from taskqueue.core.api_task import (
    MAX_NAME,
    MAX_RETRIES,
    MAX_TAG_KEY,
    MAX_TAG_VALUE,
    MAX_TAGS,
    MAX_TIMEOUT_SECONDS,
    ApiPriority,
    TaskStatus,
    TaskType,
)
from taskqueue.core.ids import MAX_USER_ID_BYTES, check_user_id
from taskqueue.core.interval import MAX_VALUES, WEEKDAYS, Every, EveryKind
from taskqueue.core.reference import has_reference
from taskqueue.core.zones import load_zone
from taskqueue.errors import InvalidValueError

_REFERENCE = "a reference to a secret of the worker, which only tasks.yaml may have; remove it"

_AT_TIME = {"at_time": {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"}}
_DST = {
    "dst": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"gap": {"enum": ["run_after", "skip"]}, "fold": {"enum": ["first", "second", "both"]}},
    }
}
_DAY = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 31}, {"const": "last"}]}


def _interval_schema(kind: EveryKind, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": kind.value},
            "value": {"type": "integer", "minimum": 1, "maximum": MAX_VALUES[kind], "default": 1},
            "timezone": {"type": "string", "format": "time-zone", "description": "That of the task; best given there."},
            **more,
        },
    }


#: intervals, in the words of tasks.yaml
INTERVAL_SCHEMA: dict[str, Any] = {
    "oneOf": [
        _interval_schema(EveryKind.HOURLY),
        _interval_schema(EveryKind.DAILY, **_AT_TIME, **_DST),
        _interval_schema(EveryKind.WEEKLY, **_AT_TIME, **_DST, weekday={"enum": list(WEEKDAYS)}),
        _interval_schema(EveryKind.MONTHLY, **_AT_TIME, **_DST, day=_DAY),
    ],
    "examples": [{"type": "daily", "value": 1, "at_time": "08:00"}],
}


def _check_zone(name: str) -> str:
    load_zone(name)
    return name


def _parse_interval(value: object) -> tuple[Every, bool]:
    """Return the interval, and whether it names its zone."""
    if not isinstance(value, Mapping):
        raise InvalidValueError('must be an object, such as {"type": "daily", "value": 1, "at_time": "08:00"}')
    for key, part in value.items():
        if part is None or (key, part) == ("timezone", ""):
            raise InvalidValueError(f"{key[:60]} is empty; leave it out")
    try:
        interval = interval_from_dict(value)
    except InvalidValueError as error:
        raise InvalidValueError(str(error).replace("interval.", "").removeprefix("interval: ")) from None
    if not isinstance(interval, Every):
        raise InvalidValueError(
            "must be hourly, daily, weekly or monthly; a cron expression has a task_type of its own"
        )
    return interval, "timezone" in value


def _without_reference(text: str) -> str:
    if has_reference(text):
        raise InvalidValueError(f"has {_REFERENCE}")
    return text


def _without_references(headers: dict[str, str]) -> dict[str, str]:
    for name, text in headers.items():
        if has_reference(text):
            raise InvalidValueError(f"header {name} has {_REFERENCE}")
    return headers


def _check_tag_key(key: str) -> str:
    if ":" in key:
        raise InvalidValueError("a tag's key has a colon, which ends it in ?tag=key:value; use another character")
    return check_line(key)


_TagKey = Annotated[str, Field(min_length=1, max_length=MAX_TAG_KEY), AfterValidator(_check_tag_key)]
_TagValue = Annotated[str, Field(max_length=MAX_TAG_VALUE), AfterValidator(check_line)]
_TAGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "maxProperties": MAX_TAGS,
    "propertyNames": {"minLength": 1, "maxLength": MAX_TAG_KEY, "pattern": f"^[^:{CONTROL_CHARACTERS}]+$"},
    "additionalProperties": {
        "type": "string",
        "maxLength": MAX_TAG_VALUE,
        "pattern": f"^[^{CONTROL_CHARACTERS}]*$",
    },
}

#: strictly, only members of an enum would do, and JSON has none
_OfName = Field(strict=False)

UserId = Annotated[str, Field(min_length=1, max_length=MAX_USER_ID_BYTES), AfterValidator(check_user_id)]
TaskName = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"pattern": f"^[^{CONTROL_CHARACTERS}]+$"}),
    AfterValidator(check_line),
]
Zone = Annotated[
    str,
    Field(min_length=1, max_length=64),
    AfterValidator(_check_zone),
    WithJsonSchema({"type": "string", "format": "time-zone", "minLength": 1, "maxLength": 64}),
]
GivenInterval = Annotated[tuple[Every, bool], BeforeValidator(_parse_interval), WithJsonSchema(INTERVAL_SCHEMA)]
TimeoutSeconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)]
MaxRetries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Tags = Annotated[dict[_TagKey, _TagValue], Field(max_length=MAX_TAGS), WithJsonSchema(_TAGS_SCHEMA)]
CronText = Annotated[
    str,
    Field(min_length=1, max_length=256),
    WithJsonSchema({"type": "string", "format": "cron", "minLength": 1, "maxLength": 256}),
]
JsonValue = Annotated[Any, WithJsonSchema({"description": "Any JSON value, of 64 KiB at most."})]


class GivenTarget(RequestBody):
    """The HTTP call of a task, in the words of tasks.yaml."""

    endpoint: Annotated[Endpoint, AfterValidator(_without_reference), Field(json_schema_extra={"format": "uri"})]
    """http or https URL; {task_id} in path and query is filled in. Private addresses are blocked at the call."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """POST, PUT and PATCH send the payload as body, GET and DELETE its fields as query parameters."""
    headers: Annotated[Headers, AfterValidator(_without_references)] = Field(default_factory=dict)
    """Headers to send; answers show their names alone."""
    max_duration: Optionally[CallTimeout] = None
    """A second limit on one attempt; the smaller one of this and timeout_seconds holds."""


#: the field that each task type needs, and that the others refuse
_SCHEDULE_FIELDS = {
    TaskType.CRON: "schedule_expression",
    TaskType.ONE_TIME: "next_execution_time",
    TaskType.INTERVAL: "interval",
}


def _of_type(kind: TaskType) -> dict[str, Any]:
    others: dict[str, Any] = {field: False for each, field in _SCHEDULE_FIELDS.items() if each is not kind}
    return {"properties": {"task_type": {"const": kind.value}, **others}, "required": [_SCHEDULE_FIELDS[kind]]}


class CreateTask(RequestBody):
    """A new task. What it calls: `config`, else `task_type_id`, else `task_name` (docs/api-tasks.md)."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [_of_type(kind) for kind in TaskType],
            "examples": [
                {
                    "task_name": "daily_report_generation",
                    "task_type": "cron",
                    "schedule_expression": "0 0 * * *",
                    "timezone": "America/New_York",
                    "payload": {"report_type": "daily", "recipients": ["admin@example.com"]},
                    "timeout_seconds": 300,
                    "max_retries": 3,
                    "priority": "high",
                    "tags": {"team": "analytics", "env": "production"},
                }
            ],
        }
    )

    task_name: TaskName
    """What people call it; need not be unique."""
    task_type: Annotated[TaskType, _OfName]
    """What says when it runs; the field that goes with it is needed, the other two are refused."""
    schedule_expression: Optionally[CronText] = None
    """Of cron: minute, hour, day of month, month, day of week; or an alias such as @daily."""
    next_execution_time: Optionally[GivenInstant] = None
    """Of one_time: when it runs. It may lie in the past by 60 seconds, for clocks differ."""
    interval: Optionally[GivenInterval] = None
    """Of interval: every so many hours, days, weeks or months."""
    timezone: Optionally[Zone] = None
    """IANA name of the zone whose wall clock counts; else UTC."""
    payload: JsonValue = Field(default_factory=dict)
    """Sent with each call; {} when left out."""
    timeout_seconds: TimeoutSeconds = 300
    """How long one HTTP attempt may take."""
    max_retries: MaxRetries = 3
    """Tries after the first."""
    priority: Annotated[ApiPriority, _OfName] = ApiPriority.MEDIUM
    """Which queue."""
    tags: Tags = Field(default_factory=dict)
    """Words of yours, to find it again."""
    enabled: bool = True
    """Whether it runs; false makes it paused."""
    config: Optionally[GivenTarget] = None
    """What it calls."""
    task_type_id: Optionally[TaskId] = None
    """A task type of tasks.yaml: what that calls, this calls."""


class UpdateTask(RequestBody):
    """What is to change; what is left out stays. Another `task_type` brings the field that goes with it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"schedule_expression": "0 2 * * *", "enabled": True, "priority": "medium"}]}
    )

    task_name: Optionally[TaskName] = None
    """What people call it; what it calls stays."""
    task_type: Optionally[Annotated[TaskType, _OfName]] = None
    """What says when it runs."""
    schedule_expression: Optionally[CronText] = None
    """Of cron."""
    next_execution_time: Optionally[GivenInstant] = None
    """Of one_time; a task that has run is scheduled again."""
    interval: Optionally[GivenInterval] = None
    """Of interval."""
    timezone: Optionally[Zone] = None
    """IANA name of the zone whose wall clock counts."""
    payload: JsonValue = Field(default_factory=dict)
    """Takes the place of the whole old one."""
    timeout_seconds: Optionally[TimeoutSeconds] = None
    """How long one HTTP attempt may take."""
    max_retries: Optionally[MaxRetries] = None
    """Tries after the first."""
    priority: Optionally[Annotated[ApiPriority, _OfName]] = None
    """Which queue."""
    tags: Optionally[Tags] = None
    """Takes the place of all the old ones."""
    enabled: Optionally[bool] = None
    """false pauses it, true resumes it."""
    config: Optionally[GivenTarget] = None
    """What it calls from now on."""
    task_type_id: Optionally[TaskId] = None
    """A task type of tasks.yaml: what that calls now, this calls from now on."""


class TaskQuery(ListQuery):
    """Which tasks are wanted: those of which all that is given is true."""

    status: Optionally[TaskStatus] = None
    """Where they stand."""
    priority: Optionally[ApiPriority] = None
    """Their queue."""
    task_type: Optionally[TaskType] = None
    """What says when they run."""
    tag: Annotated[list[str], Field(max_length=10, examples=[["team:analytics"]])] = Field(default_factory=list)
    """key:value; repeated, all of them."""
    name: Optionally[Annotated[str, Field(min_length=1, max_length=MAX_NAME + 1)]] = None
    """The whole name; what it begins with, where a * ends it."""


class TriggerTask(RequestBody):
    """For whom a task type of tasks.yaml is to run; a task made through the API needs no body."""

    user_ids: Optionally[Annotated[list[UserId], Field(min_length=1)]] = None
    """As many as api.max_bulk allows, 1,000 unless set. One that stands there twice counts once."""
