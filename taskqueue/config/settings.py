"""Settings of the scheduler, the worker and the API: a YAML file, overridden by the environment. The only reader of it.

`TASKQUEUE_<SECTION>__<KEY>` overrides a key: text where the setting is text, JSON where it is a list or mapping, else
what the same word means in YAML. `TASKQUEUE_<SECTION>__<KEY>_FILE` names a file that holds the value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from taskqueue.config.api_sections import ApiServerSettings, RestSettings
from taskqueue.config.environment import EnvironmentSource
from taskqueue.config.problems import Line, Problem, in_document, path_text, validate
from taskqueue.config.sections import (
    ExecutionSettings,
    GuardSettings,
    MonitoringSettings,
    PlanningSettings,
    PoolSettings,
    QueueSettings,
    RateLimitSettings,
    RedisSettings,
    SchedulerServerSettings,
    TasksSettings,
    WorkerServerSettings,
)
from taskqueue.config.yaml_source import Document, Loc, read_document
from taskqueue.errors import ConfigError

__all__ = [
    "ApiServerSettings",
    "ApiSettings",
    "ExecutionSettings",
    "GuardSettings",
    "MonitoringSettings",
    "PlanningSettings",
    "PoolSettings",
    "ProcessSettings",
    "QueueSettings",
    "RateLimitSettings",
    "RedisSettings",
    "RestSettings",
    "SchedulerServerSettings",
    "SchedulerSettings",
    "TasksSettings",
    "WorkerServerSettings",
    "WorkerSettings",
    "api_settings_of",
    "load_api_settings",
    "load_scheduler_settings",
    "load_worker_settings",
    "process_environment",
    "scheduler_settings_of",
    "worker_settings_of",
]


class ProcessSettings(BaseSettings):
    """What the settings of every process share: the three services around it, and its own server."""

    model_config = SettingsConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, hide_input_in_errors=True, case_sensitive=True
    )

    redis: RedisSettings = Field(default_factory=RedisSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave only the arguments: a settings object made in a test or by the loader sees no environment."""
        return (init_settings,)


class SchedulerSettings(ProcessSettings):
    """scheduler.yaml."""

    scheduler: PlanningSettings = Field(default_factory=PlanningSettings)
    tasks: TasksSettings = Field(default_factory=TasksSettings)
    server: SchedulerServerSettings = Field(default_factory=SchedulerServerSettings)


class WorkerSettings(ProcessSettings):
    """worker.yaml."""

    worker: PoolSettings = Field(default_factory=PoolSettings)
    rate_limit: RateLimitSettings = Field(default_factory=RateLimitSettings)
    execution: ExecutionSettings = Field(default_factory=ExecutionSettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    server: WorkerServerSettings = Field(default_factory=WorkerServerSettings)


class ApiSettings(ProcessSettings):
    """api.yaml."""

    api: RestSettings = Field(default_factory=RestSettings)
    server: ApiServerSettings = Field(default_factory=ApiServerSettings)


S = TypeVar("S", bound=ProcessSettings)


def load_scheduler_settings(path: Path, environ: Mapping[str, str] | None = None) -> SchedulerSettings:
    """Return the settings in the file at `path`, overridden by `environ` (None: that of the process).

    `tasks.config_file` is then relative to the file, or to the working directory where a variable gives it.
    Raises ConfigError with every problem of the environment, else with every problem of the values.
    """
    return scheduler_settings_of(read_document(path), path.parent, environ)


def load_worker_settings(path: Path, environ: Mapping[str, str] | None = None) -> WorkerSettings:
    """Return the settings in the file at `path`, overridden by `environ` (None: that of the process).

    Raises ConfigError with every problem of the environment, else with every problem of the values.
    """
    return worker_settings_of(read_document(path), environ)


def load_api_settings(path: Path, environ: Mapping[str, str] | None = None) -> ApiSettings:
    """Return the settings in the file at `path`, overridden by `environ` (None: that of the process).

    Raises ConfigError with every problem of the environment, else with every problem of the values.
    """
    return api_settings_of(read_document(path), environ)


def scheduler_settings_of(
    document: Document, directory: Path, environ: Mapping[str, str] | None = None
) -> SchedulerSettings:
    """Return the settings in `document`, a file in `directory`; the rest as load_scheduler_settings."""
    environment = _environment(SchedulerSettings, environ)
    settings = _load(SchedulerSettings, document, environment)
    if ("tasks", "config_file") in environment.variables:
        return settings
    config_file = directory / settings.tasks.config_file
    return settings.model_copy(update={"tasks": settings.tasks.model_copy(update={"config_file": config_file})})


def worker_settings_of(document: Document, environ: Mapping[str, str] | None = None) -> WorkerSettings:
    """Return the settings in `document`; the rest as load_worker_settings."""
    return _load(WorkerSettings, document, _environment(WorkerSettings, environ))


def api_settings_of(document: Document, environ: Mapping[str, str] | None = None) -> ApiSettings:
    """Return the settings in `document`; the rest as load_api_settings."""
    return _load(ApiSettings, document, _environment(ApiSettings, environ))


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process: for callers that hand it on as an argument."""
    return os.environ


def _environment(model: type[S], environ: Mapping[str, str] | None) -> EnvironmentSource:
    return EnvironmentSource(model, process_environment() if environ is None else environ)


def _load(model: type[S], document: Document, environment: EnvironmentSource) -> S:
    if not isinstance(document.value, dict):
        raise ConfigError(f"{document.name}:1:1: not a mapping of sections; write {{}} for all defaults")
    file = InitSettingsSource(model, _without_overridden_urls(document.value, environment.variables))
    return validate(
        lambda: model(_build_sources=((environment, file), {})),
        model,
        lambda problem: _locate(problem, document, environment.variables),
    )


def _without_overridden_urls(value: Mapping[str, object], variables: Mapping[Loc, str]) -> dict[str, object]:
    """Return `value` without the file's `url` where a variable gives `urls`, and the other way round."""
    queue = value.get("queue")
    if not isinstance(queue, dict):
        return dict(value)
    overridden = {key for key, other in (("url", "urls"), ("urls", "url")) if ("queue", other) in variables}
    return {**value, "queue": {key: item for key, item in queue.items() if key not in overridden}}


def _locate(problem: Problem, document: Document, variables: Mapping[Loc, str]) -> Line:
    variable = variables.get(problem.loc[:2])
    if variable is None:
        return in_document(document, problem)
    return Line(line=0, column=0, text=f"{variable}: {path_text(problem.loc[:2])}{problem.text}")
