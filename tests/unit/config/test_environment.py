from __future__ import annotations

from pathlib import Path

import pytest

from taskqueue.config.settings import (
    SchedulerSettings,
    WorkerSettings,
    scheduler_settings_of,
    worker_settings_of,
)
from taskqueue.config.yaml_source import parse_document
from taskqueue.errors import ConfigError


def worker_settings(environ: dict[str, str], text: str = "{}") -> WorkerSettings:
    return worker_settings_of(parse_document(text, "worker.yaml"), environ)


def scheduler_settings(environ: dict[str, str]) -> SchedulerSettings:
    return scheduler_settings_of(parse_document("{}", "scheduler.yaml"), Path(), environ)


def problems_of(environ: dict[str, str], text: str = "{}") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        worker_settings(environ, text)
    return caught.value.problems


def test_a_variable_overrides_the_file_and_leaves_its_neighbours() -> None:
    redis = worker_settings({"TASKQUEUE_REDIS__DB": "2"}, "redis: {db: 1, pool_size: 5}").redis
    assert (redis.db, redis.pool_size) == (2, 5)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("REDIS__PASSWORD", "12345", "12345"),
        ("REDIS__PASSWORD", "", ""),
        ("REDIS__PASSWORD", "null", "null"),
        ("REDIS__PASSWORD", '{"a": 1}', '{"a": 1}'),
        ("QUEUE__URL", "amqps://u:p@h/v", "amqps://u:p@h/v"),
    ],
)
def test_a_text_setting_takes_the_variable_as_it_is(name: str, text: str, value: str) -> None:
    settings = worker_settings({f"TASKQUEUE_{name}": text})
    secret = settings.redis.password if name.startswith("REDIS") else settings.queue.url
    assert secret.get_secret_value() == value


def test_other_settings_take_what_yaml_or_json_would_mean() -> None:
    settings = worker_settings(
        {
            "TASKQUEUE_REDIS__ADDRESSES": '["127.0.0.1:6379", "h:1"]',
            "TASKQUEUE_REDIS__TLS": "true",
            "TASKQUEUE_RATE_LIMIT__GLOBAL": "null",
            "TASKQUEUE_RATE_LIMIT__PER_TASK": '{"a": 5}',
            "TASKQUEUE_SERVER__PORT": "0",
            "TASKQUEUE_EXECUTION__TIMEOUT": "90s",
        },
        "rate_limit: {per_task: {b: 1}}",
    )
    assert settings.redis.addresses == ("127.0.0.1:6379", "h:1")
    assert settings.redis.tls is True
    assert settings.rate_limit.global_ is None
    assert settings.rate_limit.per_task == {"a": 5, "b": 1}
    assert settings.server.port == 0
    assert settings.execution.timeout.total_seconds() == 90


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b" hunter2 \r\n")
    settings = worker_settings({"TASKQUEUE_REDIS__PASSWORD_FILE": str(tmp_path / "secret")})
    assert settings.redis.password.get_secret_value() == " hunter2 "


def test_a_setting_whose_name_ends_in_file_is_not_read_from_one() -> None:
    assert scheduler_settings({"TASKQUEUE_TASKS__CONFIG_FILE": "x.yaml"}).tasks.config_file == Path("x.yaml")


def test_a_tasks_file_may_be_named_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("x.yaml\n")
    environ = {"TASKQUEUE_TASKS__CONFIG_FILE_FILE": str(tmp_path / "name")}
    assert scheduler_settings(environ).tasks.config_file == Path("x.yaml")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("TASKQUEUE_REDIS__DBB", "did you mean TASKQUEUE_REDIS__DB?"),
        ("TASKQUEUE_REDIS_DB", "did you mean TASKQUEUE_REDIS__DB?"),
        ("TASKQUEUE_redis__db", "did you mean TASKQUEUE_REDIS__DB?"),
        ("TASKQUEUE_TOKENS", "did you mean TASKQUEUE_TOKEN?"),
        ("TASKQUEUE_WORKR__X", "did you mean TASKQUEUE_WORKER__…?"),
        ("TASKQUEUE_REDIS", "did you mean TASKQUEUE_REDIS__DB?"),
        ("TASKQUEUE_SCHEDULR__LEAD", "did you mean TASKQUEUE_SCHEDULER__…?"),
        ("TASKQUEUE_CONFIG", "see docs/configuration.md for the names"),
        ("TASKQUEUE_LUA_DIR", "see docs/configuration.md for the names"),
        ("TASKQUEUE_Q", "see docs/configuration.md for the names"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_right_one(name: str, remedy: str) -> None:
    assert problems_of({name: "hunter2"}) == (f"{name}: unknown variable; {remedy}",)


@pytest.mark.parametrize(
    "name",
    [
        "TASKQUEUE_SCHEDULER__LEAD",
        "TASKQUEUE_TASKS__CONFIG_FILE",
        "TASKQUEUE_API__BOOTSTRAP_TOKEN",
        "TASKQUEUE_API_URL",
        "TASKQUEUE_TOKEN_FILE",
        "TASKQUEUE_TEST_ANYTHING",
        "TASKQUEUE_DEV_ANYTHING",
        "PATH",
    ],
)
def test_what_is_for_others_is_ignored(name: str) -> None:
    assert worker_settings({name: "anything"}).redis == WorkerSettings().redis


def test_all_unknown_names_are_told_at_once() -> None:
    assert len(problems_of({"TASKQUEUE_A": "", "TASKQUEUE_B": "", "TASKQUEUE_REDIS__ADDRESSES": "["})) == 3


def test_a_wrong_value_names_its_variable_and_never_a_secret() -> None:
    environ = {
        "TASKQUEUE_EXECUTION__TIMEOUT": "30",
        "TASKQUEUE_QUEUE__URL": "http://u:hunter2@h",
        "TASKQUEUE_REDIS__ADDRESSES": "localhost:6379",
        "TASKQUEUE_REDIS__DB": "x",
    }
    assert problems_of(environ) == (
        "TASKQUEUE_EXECUTION__TIMEOUT: execution.timeout: not a duration; "
        "use text with a unit, such as 30s, 5m or 1h30m",
        "TASKQUEUE_QUEUE__URL: queue.url: not an AMQP URL; use amqp:// or amqps://user:password@host:port/vhost",
        'TASKQUEUE_REDIS__ADDRESSES: redis.addresses: must be a list, not text; write it as ["a", "b"]',
        "TASKQUEUE_REDIS__DB: redis.db: must be a whole number, not 'x'; change the value",
    )


def test_a_setting_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    environ = {"TASKQUEUE_REDIS__PASSWORD": "x", "TASKQUEUE_REDIS__PASSWORD_FILE": str(tmp_path / "secret")}
    (line,) = problems_of(environ)
    assert line.startswith("TASKQUEUE_REDIS__PASSWORD_FILE: TASKQUEUE_REDIS__PASSWORD gives the same setting")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff", "not the path of a UTF-8 text file"), (b"x" * 70_000, "larger than 65,536 bytes")],
)
def test_a_secret_file_that_cannot_hold_a_secret_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    (line,) = problems_of({"TASKQUEUE_REDIS__PASSWORD_FILE": str(tmp_path / "secret")})
    assert problem in line


@pytest.mark.parametrize("path", ["hunter2", "", "hunter2\0"])
def test_a_secret_file_that_is_not_there_names_the_variable_and_not_its_value(path: str) -> None:
    (line,) = problems_of({"TASKQUEUE_REDIS__PASSWORD_FILE": path})
    assert line.startswith("TASKQUEUE_REDIS__PASSWORD_FILE: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_file_is_no_secret(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content, encoding="utf-8", newline="")

    (line,) = problems_of({"TASKQUEUE_REDIS__PASSWORD_FILE": str(tmp_path / "secret")})

    assert line.startswith("TASKQUEUE_REDIS__PASSWORD_FILE: its file is empty; write the value into it")


def test_one_url_from_the_environment_replaces_several_of_the_file() -> None:
    queue = worker_settings({"TASKQUEUE_QUEUE__URL": "amqp://c"}, "queue: {urls: [amqp://a, amqp://b]}").queue
    assert queue.candidates == ("amqp://c",)


def test_several_urls_from_the_environment_replace_the_one_of_the_file() -> None:
    queue = worker_settings({"TASKQUEUE_QUEUE__URLS": '["amqp://c", "amqp://d"]'}, "queue: {url: amqp://a}").queue
    assert queue.candidates == ("amqp://c", "amqp://d")
