"""The sections that only api.yaml has."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from taskqueue.config.duration import Duration, at_least, at_most
from taskqueue.config.sections import InstanceId, SchedulerServerSettings, Section, host_and_pid
from taskqueue.errors import InvalidValueError

#: what stands for the name of the task in api.default_target
TASK_NAME_MARK = "{task_name}"

#: what a bearer token may hold (RFC 6750, section 2.1); shorter ones could be guessed
_BOOTSTRAP_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}", re.ASCII)


def _check_target(template: str) -> str:
    """Return `template` where it is empty or makes a URL of any task name."""
    if not template:
        return template
    try:
        parts = urlsplit(template.replace(TASK_NAME_MARK, "name"))
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:
        usable = False
    if not usable or "{" in template.replace(TASK_NAME_MARK, ""):
        raise InvalidValueError("not a URL template; use http://host/path/{task_name}, or '' for none")
    if TASK_NAME_MARK in urlsplit(template).netloc:
        raise InvalidValueError("has {task_name} in its host; put it into the path or the query")
    return template


def _check_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if origin != "*" and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query):
        raise InvalidValueError("not an origin; use https://host, with :port where it is no usual one, or *")
    return origin


def _check_bootstrap_token(token: SecretStr) -> SecretStr:
    if token.get_secret_value() and not _BOOTSTRAP_TOKEN.fullmatch(token.get_secret_value()):
        raise InvalidValueError(
            "cannot be used: use 32 to 512 of A-Z a-z 0-9 . _ ~ + / = - at random, as `openssl rand -hex 32` prints"
        )
    return token


class ApiServerSettings(SchedulerServerSettings):
    """Where the API, /health and /metrics are served."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes a free one."""


class RestSettings(Section):
    """The API: what it accepts, and how much of it."""

    default_target: Annotated[str, AfterValidator(_check_target)] = ""
    """Called for a task whose request names no target, as in http://host/tasks/{task_name}; empty: refused with 422."""
    bootstrap_token: Annotated[SecretStr, AfterValidator(_check_bootstrap_token)] = SecretStr("")
    """The first admin token; better in TASKQUEUE_API__BOOTSTRAP_TOKEN or TASKQUEUE_API__BOOTSTRAP_TOKEN_FILE."""
    docs: bool = True
    """Whether /docs and /openapi.json are served, to everybody."""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], Field(strict=False)] = ()
    """Origins whose pages may call the API in a browser; none when left out."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=67_108_864)] = 1_048_576
    """The largest body of a request."""
    max_body_depth: Annotated[int, Field(ge=4, le=256)] = 64
    """How deeply its objects and lists may be nested."""
    max_page: Annotated[int, Field(ge=1, le=1000)] = 100
    """The largest `limit` of a list; 20 is what a request without one gets."""
    max_bulk: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Tasks in one bulk request."""
    request_deadline: Annotated[
        Duration, at_least("1s", "Redis may take that long"), at_most("60s", "proxies wait no longer than that")
    ] = timedelta(seconds=10)
    """How long a request may take to be read, and then to be answered."""
    rate_limit: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 100.0
    """Requests per second of one token."""
    rate_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Requests of one token at once, after a rest."""
    max_failures: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Invalid tokens in a minute from one client address; then only tokens accepted before get further there."""
    instance_id: InstanceId = Field(default_factory=host_and_pid)
    """Name of this process in logs and in Redis; host and process id when left out."""
