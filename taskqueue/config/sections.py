"""The sections of scheduler.yaml and worker.yaml: names, defaults and limits, as in the spec's Configuration Schema.

The docstrings under the fields are what editors show; they get there through the JSON Schema (schema.py).
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    WithJsonSchema,
    model_validator,
)

from taskqueue.config.duration import Duration, at_least, at_most
from taskqueue.config.models import CallTimeout, RetryCount, TaskId, Window
from taskqueue.core.addresses import parse_port_range, parse_rule
from taskqueue.core.task import Priority
from taskqueue.errors import InvalidValueError

_T = TypeVar("_T")

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
#: an IP address, one of IPv6 with its zone, or a name
_LISTENING_HOST = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)
_INSTANCE = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def _check_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        raise InvalidValueError("not an address; use host:port, as in localhost:6379 or [::1]:6379")
    return address


def _check_amqp_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        usable = parts.scheme in {"amqp", "amqps"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidValueError("not an AMQP URL; use amqp:// or amqps://user:password@host:port/vhost")
    return url


def _check_listening_host(host: str) -> str:
    if not _LISTENING_HOST.fullmatch(host):
        raise InvalidValueError("not a host to listen on; use an address or a name, as in 0.0.0.0, ::1 or localhost")
    return host


def _check_instance(instance: str) -> str:
    if not _INSTANCE.fullmatch(instance):
        raise InvalidValueError("not an instance id; use 1 to 128 of A-Z a-z 0-9 . _ : -")
    return instance


def host_and_pid() -> str:
    """Return the name of a process that was given none."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:100]
    return f"{host}-{os.getpid()}"


def _check_rate(rate: float) -> float:
    if rate <= 0:
        raise InvalidValueError("not a limit; use a number above 0, or null for no limit")
    return rate


def _check_rule(text: str) -> str:
    parse_rule(text)
    return text


def _only_port_range(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidValueError("not a port; use a number, or a range as in 1024-65535")
    parse_port_range(value)
    return value


def _check_not_empty(items: tuple[_T, ...]) -> tuple[_T, ...]:
    if not items:
        raise InvalidValueError("is an empty list; name at least one")
    return items


def _only_taskqueue(value: object) -> object:
    if value != "taskqueue":
        raise InvalidValueError(
            "cannot be changed: the queues and their dead-lettering are bound to the exchange taskqueue; "
            "to run several systems on one broker, give each its own vhost in url"
        )
    return value


def _only_durable(value: object) -> object:
    if value is not True:
        raise InvalidValueError(
            "cannot be changed: jobs survive a restart of the broker only in durable queues; use true"
        )
    return value


def _only_text_path(value: object) -> object:
    if isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    if isinstance(value, Path):
        return value
    raise InvalidValueError("not a path; use the name of a file")


#: a TTL of the delayed queue is fixed at 120 s; a release must stay well below it
_Lead = Annotated[Duration, at_most("60s", "the delayed queue drops what waits longer than 120 s into its ready queue")]
_LeaseTtl = Annotated[Duration, at_least("2s", "the lease must outlive a slow answer of Redis")]
_Address = Annotated[str, AfterValidator(_check_address)]
_AmqpUrl = Annotated[SecretStr, AfterValidator(_check_amqp_url)]
_List = Field(strict=False)
_NotEmpty = Field(strict=False, json_schema_extra={"minItems": 1})
_AddressRule = Annotated[str, AfterValidator(_check_rule)]
_PortRange = Annotated[int | str, BeforeValidator(_only_port_range)]
_ListeningHost = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_listening_host)]
InstanceId = Annotated[str, AfterValidator(_check_instance)]
_FilePath = Annotated[Path, BeforeValidator(_only_text_path), WithJsonSchema({"type": "string", "minLength": 1})]
_Port = Annotated[int, Field(ge=0, le=65535)]
_JobsPerSecond = Annotated[
    float,
    Field(le=1_000_000, allow_inf_nan=False, json_schema_extra={"exclusiveMinimum": 0}),
    AfterValidator(_check_rate),
]


class Section(BaseModel):
    """What all sections share: strict types, no unknown keys, frozen, and no values in pydantic's own error texts."""

    # Without validate_default a default given as text would not become a SecretStr, and would show in a repr.
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        populate_by_name=False,
    )


class PlanningSettings(Section):
    """Planning and leadership."""

    check_interval: Duration = timedelta(minutes=1)
    """The longest that the leader sleeps before it looks again for what is due."""
    distribution_window: Window = timedelta(minutes=30)
    """Over how long the users' jobs of one occurrence are spread, where the task says nothing. 0s: all at once."""
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Users planned in one step."""
    lead: _Lead = timedelta(seconds=60)
    """How long before they are due jobs go to RabbitMQ. Occurrences are planned 60 s ahead in any case."""
    max_ready: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Messages that may stand ready in one queue; further jobs wait in Redis until workers have caught up."""
    lease_ttl: _LeaseTtl = timedelta(seconds=10)
    """How long a leader that has vanished keeps the others out."""
    instance_id: InstanceId = Field(default_factory=host_and_pid)
    """Name of this process in logs and in Redis; host and process id when left out."""


class RedisSettings(Section):
    """Connection to Redis."""

    addresses: Annotated[tuple[_Address, ...], _NotEmpty, AfterValidator(_check_not_empty)] = ("localhost:6379",)
    """host:port of the primary; of several, the one that answers as primary."""
    username: str | None = None
    """ACL user; the default user when left out."""
    password: SecretStr = SecretStr("")
    """Empty for none."""
    db: Annotated[int, Field(ge=0, le=16_383)] = 0
    """Number of the database."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a command that may safely run twice is tried again."""
    pool_size: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Connections of this process."""
    tls: bool = False
    """Whether to connect with TLS."""

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """The addresses as (host, port), without the brackets of IPv6."""
        parts = (address.rpartition(":") for address in self.addresses)
        return tuple((host.strip("[]"), int(port)) for host, _, port in parts)


#: what the protocol's field for it can hold
MOST_PREFETCHED = 65_535

_MessageCount = Annotated[int, Field(ge=1, le=MOST_PREFETCHED)]


class PrefetchSettings(Section):
    """Messages that a worker holds, by queue; what is left out is derived from worker.pool_size."""

    high: _MessageCount | None = None
    """Of taskqueue.jobs.high."""
    normal: _MessageCount | None = None
    """Of taskqueue.jobs.normal."""
    low: _MessageCount | None = None
    """Of taskqueue.jobs.low."""


def _prefetch_form(value: object) -> str:
    """Return the tag of the form that `value` has; both are two words, so as not to read like keys in an error."""
    return "by queue" if isinstance(value, Mapping | list | PrefetchSettings) else "for all"


_Prefetch = Annotated[
    Annotated[_MessageCount, Tag("for all")] | Annotated[PrefetchSettings, Tag("by queue")],
    Discriminator(_prefetch_form),
]


class QueueSettings(Section):
    """Connection to RabbitMQ."""

    url: _AmqpUrl = SecretStr("amqp://guest:guest@localhost:5672/")
    """amqp or amqps URL, with the vhost as its path."""
    urls: Annotated[tuple[_AmqpUrl, ...], _NotEmpty, AfterValidator(_check_not_empty)] | None = None
    """Instead of url: the nodes of one cluster, tried in turn."""
    exchange: Annotated[Literal["taskqueue"], BeforeValidator(_only_taskqueue)] = "taskqueue"
    """Cannot be changed."""
    durable: Annotated[Literal[True], BeforeValidator(_only_durable)] = True
    """Cannot be changed."""
    prefetch: _Prefetch | None = None
    """Messages that a worker holds per queue: one number, or high, normal and low; else twice worker.pool_size."""
    confirm_window: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Messages published and not yet confirmed."""

    @model_validator(mode="after")
    def _one_kind_of_url(self) -> Self:
        if self.urls is not None and "url" in self.model_fields_set:
            raise InvalidValueError("has both url and urls; keep one of them")
        return self

    @property
    def candidates(self) -> tuple[str, ...]:
        """The URLs to try in turn, in clear: for the connection alone, never for a log."""
        return tuple(url.get_secret_value() for url in self.urls or (self.url,))

    def prefetch_by_queue(self, pool_size: int) -> dict[Priority, int]:
        """Return how many messages a worker of `pool_size` holds of each ready queue, the most urgent queue first."""
        chosen = self.prefetch
        if not isinstance(chosen, PrefetchSettings):
            chosen = PrefetchSettings(high=chosen, normal=chosen, low=chosen)
        otherwise = min(2 * pool_size, MOST_PREFETCHED)
        return {
            Priority.HIGH: chosen.high or otherwise,
            Priority.NORMAL: chosen.normal or otherwise,
            Priority.LOW: chosen.low or otherwise,
        }


class TasksSettings(Section):
    """Where the task types come from."""

    config_file: _FilePath = Path("tasks.yaml")
    """tasks.yaml; relative to the file that names it."""
    reload_interval: Duration = timedelta(minutes=5)
    """Over how long the index of enabled users is compared in full with Redis."""
    poll_interval: Duration = timedelta(seconds=2)
    """How often tasks.yaml is looked at for a change."""
    allow_mass_delete: bool = False
    """Whether a reload, or a new leader, may remove more than half of the task types."""
    removed: Literal["finish", "drain"] = "finish"
    """What becomes of a removed task's planned occurrences and jobs: finish runs them, drain drops them."""


class SchedulerServerSettings(Section):
    """Where /health and /metrics are served."""

    # Probes and scrapers come from other hosts; only health, metrics and the spec's internal API are behind it.
    host: _ListeningHost = "0.0.0.0"  # noqa: S104 - containers are probed from outside
    """Address to listen on."""
    port: _Port = 8080
    """0 takes a free one."""


class WorkerServerSettings(SchedulerServerSettings):
    """Where /health and /metrics are served."""

    port: _Port = 8081
    """0 takes a free one."""


class PoolSettings(Section):
    """Concurrency and shutdown."""

    pool_size: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Jobs that run at the same time."""
    shutdown_timeout: Duration = timedelta(seconds=30)
    """How long running jobs may take to finish after SIGTERM."""
    instance_id: InstanceId = Field(default_factory=host_and_pid)
    """Name of this process in logs and in Redis; host and process id when left out."""


class RateLimitSettings(Section):
    """Limits over all workers, in jobs per second."""

    global_: _JobsPerSecond | None = Field(default=100.0, alias="global")
    """Over all tasks; null: unlimited."""
    per_task: dict[TaskId, _JobsPerSecond | None] = Field(default_factory=dict)
    """By task id; null: unlimited."""


class ExecutionSettings(Section):
    """The HTTP call and its retries, where the task says nothing."""

    timeout: CallTimeout = timedelta(minutes=5)
    """How long one attempt may take."""
    max_retries: RetryCount = 3
    """Tries after the first."""
    retry_delay: Duration = timedelta(minutes=1)
    """Base of the exponential backoff."""
    max_retry_delay: Duration = timedelta(hours=1)
    """The longest backoff."""
    max_response_bytes: Annotated[int, Field(ge=0, le=16_777_216)] = 65_536
    """How much of a response is read and kept."""

    @model_validator(mode="after")
    def _delays_in_order(self) -> Self:
        if self.retry_delay > self.max_retry_delay:
            raise InvalidValueError("has a retry_delay above its max_retry_delay; lower the one or raise the other")
        return self


class GuardSettings(Section):
    """Where calls may go (docs/worker.md). Tasks made through the API are always guarded."""

    file_tasks: bool = False
    """Whether the tasks of tasks.yaml are guarded as well; deny holds for them in any case."""
    allow: Annotated[tuple[_AddressRule, ...], _List] = ()
    """Networks, addresses, names and .suffixes that may be called though they are not public, with :port or without."""
    deny: Annotated[tuple[_AddressRule, ...], _List] = ()
    """What nothing may call, in the same notation; it wins over allow."""
    ports: Annotated[tuple[_PortRange, ...], _List] = (80, 443)
    """Ports that guarded tasks may call: numbers, and ranges as in 1024-65535, which leave out internal services."""


class MonitoringSettings(Section):
    """Logs and metrics."""

    metrics_interval: Duration = timedelta(seconds=10)
    """How often gauges that cost a query are refreshed."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, else JSON."""
