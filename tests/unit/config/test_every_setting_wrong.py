"""Every setting of every process, wrong in every way: refused at its place, by its name, with a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from taskqueue.config.sections import PrefetchSettings
from taskqueue.config.settings import (
    ApiSettings,
    ProcessSettings,
    SchedulerSettings,
    WorkerSettings,
    api_settings_of,
    scheduler_settings_of,
    worker_settings_of,
)
from taskqueue.config.yaml_source import Document, parse_document
from taskqueue.errors import ConfigError
from tests.support.wrong_values import VALUES, says_where_and_what

LOADERS: dict[type[ProcessSettings], Callable[[Document], ProcessSettings]] = {
    SchedulerSettings: lambda document: scheduler_settings_of(document, Path(), {}),
    WorkerSettings: lambda document: worker_settings_of(document, {}),
    ApiSettings: lambda document: api_settings_of(document, {}),
}

#: what is right all the same, by section and key
_TEXT = {"an empty text", "a blank text", "a long text", "a control character", "two lines", "a number of 400 digits"}
_WORDS = {"not a number", "infinity"}
RIGHT: dict[str, set[str]] = {
    "redis.username": _TEXT | _WORDS | {"null"},
    "redis.password": _TEXT | _WORDS,
    "redis.db": {"zero"},
    "redis.max_retries": {"zero"},
    "redis.tls": {"true"},
    "queue.urls": {"null"},
    "queue.durable": {"true"},
    "queue.prefetch": {"null", "an empty mapping"},
    "queue.prefetch.high": {"null"},
    "queue.prefetch.normal": {"null"},
    "queue.prefetch.low": {"null"},
    "scheduler.instance_id": _WORDS,
    "tasks.config_file": (_TEXT | _WORDS) - {"an empty text"},
    "tasks.allow_mass_delete": {"true"},
    "server.host": _WORDS,
    "server.port": {"zero"},
    "worker.instance_id": _WORDS,
    "rate_limit.global": {"null", "a fraction"},
    "rate_limit.per_task": {"a mapping", "an empty mapping"},
    "execution.max_retries": {"zero"},
    "execution.max_response_bytes": {"zero"},
    "guard.file_tasks": {"true"},
    "guard.allow": {"an empty list"},
    "guard.deny": {"an empty list"},
    "guard.ports": {"a list", "an empty list"},
    "api.default_target": {"an empty text"},
    "api.bootstrap_token": {"an empty text", "a number of 400 digits"},
    "api.docs": {"true"},
    "api.cors_origins": {"an empty list"},
    "api.rate_limit": {"a fraction"},
    "api.instance_id": _WORDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key of a settings file: where it stands, and what reads the file."""

    model: type[ProcessSettings]
    path: tuple[str, ...]

    def problems(self, value: str) -> tuple[str, ...]:
        """Return what is wrong with a file that has this value there and nothing else."""
        lines = [f"{'  ' * level}{name}:" for level, name in enumerate(self.path)]
        text = "\n".join(lines) + f" {value}\n"
        try:
            LOADERS[self.model](parse_document(text, "file.yaml"))
        except ConfigError as error:
            return error.problems
        return ()


def _settings() -> Iterator[Setting]:
    for model in LOADERS:
        for section, field in model.model_fields.items():
            kind = field.annotation
            assert isinstance(kind, type)
            assert issubclass(kind, BaseModel)
            for name, each in kind.model_fields.items():
                yield Setting(model=model, path=(section, each.alias or name))
        for name in PrefetchSettings.model_fields:
            yield Setting(model=model, path=("queue", "prefetch", name))


SETTINGS = {f"{each.model.__name__} {'.'.join(each.path)}": each for each in _settings()}


def _right(setting: Setting) -> set[str]:
    return RIGHT.get(".".join(setting.path), set())


@pytest.mark.parametrize("label", SETTINGS)
def test_each_wrong_value_is_refused_where_it_stands_with_a_remedy(label: str) -> None:
    setting = SETTINGS[label]
    accepted = {name for name, value in VALUES.items() if not setting.problems(value)}
    assert accepted == _right(setting)
    for name in VALUES.keys() - accepted:
        for problem in setting.problems(VALUES[name]):
            assert says_where_and_what(problem, f"file.yaml:{len(setting.path)}:", ".".join(setting.path)), name


@pytest.mark.parametrize("label", SETTINGS)
def test_a_key_with_a_typing_mistake_is_refused_and_the_right_one_named(label: str) -> None:
    setting = SETTINGS[label]
    *path, name = setting.path
    (problem,) = Setting(model=setting.model, path=(*path, f"{name}x")).problems("1")
    assert f"unknown key '{name}x'; did you mean '{name}'?" in problem
