from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from taskqueue.assets import asset_dir
from taskqueue.config.catalog import load_catalog
from taskqueue.config.sections import QueueSettings
from taskqueue.config.settings import (
    SchedulerSettings,
    WorkerSettings,
    load_scheduler_settings,
    load_worker_settings,
    worker_settings_of,
)
from taskqueue.config.yaml_source import parse_document
from taskqueue.core.task import Priority
from taskqueue.errors import ConfigError

SPEC = Path(__file__).parents[2] / "contract" / "spec"


def worker_settings(text: str) -> WorkerSettings:
    return worker_settings_of(parse_document(text, "worker.yaml"), {})


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        worker_settings(text)
    return caught.value.problems


def test_the_scheduler_file_of_the_specification_loads_as_written() -> None:
    settings = load_scheduler_settings(SPEC / "scheduler.yaml", {})
    assert settings.scheduler.check_interval == timedelta(minutes=1)
    assert settings.scheduler.distribution_window == timedelta(minutes=30)
    assert settings.scheduler.batch_size == 1000
    assert settings.redis.addresses == ("localhost:6379",)
    assert settings.redis.password.get_secret_value() == ""
    assert (settings.redis.db, settings.redis.max_retries, settings.redis.pool_size) == (0, 3, 10)
    assert settings.queue.candidates == ("amqp://guest:guest@localhost:5672/",)
    assert (settings.queue.exchange, settings.queue.durable, settings.queue.prefetch) == ("taskqueue", True, 10)
    assert settings.tasks.reload_interval == timedelta(minutes=5)


def test_the_worker_file_of_the_specification_loads_as_written() -> None:
    settings = load_worker_settings(SPEC / "worker.yaml", {})
    assert (settings.worker.pool_size, settings.worker.shutdown_timeout) == (10, timedelta(seconds=30))
    assert settings.rate_limit.global_ == 100
    assert settings.rate_limit.per_task == {"api_heavy": 10, "report_generation": 50}
    assert settings.execution.timeout == timedelta(minutes=5)
    assert (settings.execution.max_retries, settings.execution.retry_delay) == (3, timedelta(minutes=1))
    assert settings.monitoring.metrics_interval == timedelta(seconds=10)
    assert settings.monitoring.log_level == "info"


def test_the_tasks_file_is_relative_to_the_file_that_names_it() -> None:
    assert load_scheduler_settings(SPEC / "scheduler.yaml", {}).tasks.config_file == SPEC / "tasks.yaml"


def test_a_tasks_file_from_the_environment_is_relative_to_the_working_directory() -> None:
    environ = {"TASKQUEUE_TASKS__CONFIG_FILE": "other.yaml"}
    assert load_scheduler_settings(SPEC / "scheduler.yaml", environ).tasks.config_file == Path("other.yaml")


def test_the_files_that_are_shipped_load() -> None:
    scheduler = load_scheduler_settings(asset_dir("config") / "scheduler.yaml", {})
    assert load_worker_settings(asset_dir("config") / "worker.yaml", {}).worker.pool_size == 10
    assert set(load_catalog(scheduler.tasks.config_file).tasks) == {"daily_report", "hourly_sync"}


def test_sections_that_are_left_out_have_their_defaults() -> None:
    settings = worker_settings("{}")
    assert (settings.server.host, settings.server.port) == (str(IPv4Address(0)), 8081)
    assert SchedulerSettings().server.port == 8080
    assert settings.redis.endpoints == (("localhost", 6379),)
    assert settings.queue.prefetch is None


def test_without_a_prefetch_a_worker_holds_twice_its_pool_of_each_queue() -> None:
    assert QueueSettings().prefetch_by_queue(7) == dict.fromkeys(Priority, 14)
    assert QueueSettings().prefetch_by_queue(1)[Priority.HIGH] == 2


def test_one_prefetch_is_that_of_every_queue() -> None:
    queue = worker_settings("queue: {prefetch: 5}").queue
    assert list(queue.prefetch_by_queue(7).items()) == [(Priority.HIGH, 5), (Priority.NORMAL, 5), (Priority.LOW, 5)]


def test_a_prefetch_by_queue_leaves_the_others_as_they_are() -> None:
    queue = worker_settings("queue: {prefetch: {high: 40, low: 2}}").queue
    assert queue.prefetch_by_queue(7) == {Priority.HIGH: 40, Priority.NORMAL: 14, Priority.LOW: 2}


@pytest.mark.parametrize(("text", "high"), [("9", 9), ('{"high": 8}', 8)])
def test_a_prefetch_may_come_from_the_environment(text: str, high: int) -> None:
    settings = load_worker_settings(SPEC / "worker.yaml", {"TASKQUEUE_QUEUE__PREFETCH": text})
    assert settings.queue.prefetch_by_queue(7)[Priority.HIGH] == high


def test_settings_made_without_a_file_see_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_REDIS__DB", "5")
    monkeypatch.setenv("REDIS", '{"db": 5}')
    assert WorkerSettings().redis.db == 0


def test_the_environment_of_the_process_counts_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_REDIS__DB", "5")
    assert load_worker_settings(SPEC / "worker.yaml").redis.db == 5
    assert load_worker_settings(SPEC / "worker.yaml", {}).redis.db == 0


def test_settings_are_frozen() -> None:
    settings = WorkerSettings()
    with pytest.raises(ValidationError):
        settings.worker = settings.worker
    with pytest.raises(ValidationError):
        settings.redis.db = 1


def test_each_process_has_a_name_of_its_own() -> None:
    assert WorkerSettings().worker.instance_id
    assert worker_settings("worker: {instance_id: w-1}").worker.instance_id == "w-1"


def test_null_is_no_limit() -> None:
    limits = worker_settings("rate_limit: {global: null, per_task: {a: null, b: 0.5}}").rate_limit
    assert (limits.global_, limits.per_task) == (None, {"a": None, "b": 0.5})


def test_ipv6_addresses_lose_their_brackets() -> None:
    redis = worker_settings("redis: {addresses: ['[::1]:6379', 'a.example:1']}").redis
    assert redis.endpoints == (("::1", 6379), ("a.example", 1))


def test_several_urls_are_candidates_in_their_order() -> None:
    queue = worker_settings("queue: {urls: ['amqp://a', 'amqps://b']}").queue
    assert queue.candidates == ("amqp://a", "amqps://b")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("redis: {pool_sise: 5}", "1:9: redis.pool_sise: unknown key 'pool_sise'; did you mean 'pool_size'?"),
        (
            "redis: {max_retries: 5, log_level: info}",
            "1:25: redis.log_level: unknown key 'log_level'; known here: addr",
        ),
        ("pool_size: 5", "1:1: pool_size: unknown key 'pool_size' here; it belongs into redis or worker"),
        (
            "queue: {prefetch: {confirm_window: 5}}",
            "1:20: queue.prefetch.confirm_window: unknown key 'confirm_window' h",
        ),
        ("radis: {}", "1:1: radis: unknown key 'radis'; did you mean 'redis'?"),
        ("scheduler: {}", "1:1: scheduler: unknown key 'scheduler'"),
        ("redis:", "1:7: redis: is empty; give a mapping"),
        (
            "redis: {addresses: localhost:6379}",
            '1:20: redis.addresses: must be a list, not text; write it as ["a", "b"]',
        ),
        ("redis: {addresses: []}", "1:20: redis.addresses: is an empty list"),
        ("redis: {addresses: [localhost]}", "1:21: redis.addresses[0]: not an address"),
        ("redis: {addresses: ['h:0']}", "1:21: redis.addresses[0]: not an address"),
        ("redis: {addresses: ['a b:1']}", "1:21: redis.addresses[0]: not an address"),
        ("redis: {db: true}", "1:13: redis.db: must be a whole number, not true"),
        ("redis: {db: '0'}", "1:13: redis.db: must be a whole number, not '0'"),
        ("redis: {tls: yes}", "1:14: redis.tls: must be true or false, not 'yes'"),
        ("queue: {url: http://h}", "1:14: queue.url: not an AMQP URL"),
        ("queue: {url: amqp://h:x}", "1:14: queue.url: not an AMQP URL"),
        ("queue: {url: amqp://a, urls: [amqp://b]}", "1:8: queue: has both url and urls"),
        ("queue: {exchange: other}", "1:19: queue.exchange: cannot be changed: the queues"),
        ("queue: {durable: false}", "1:18: queue.durable: cannot be changed: jobs survive"),
        ("queue: {prefetch: 0}", "1:19: queue.prefetch: cannot be 0; use at least 1"),
        ("queue: {prefetch: 65536}", "1:19: queue.prefetch: cannot be 65536; use at most 65535"),
        ("queue: {prefetch: ten}", "1:19: queue.prefetch: must be a whole number, not 'ten'"),
        ("queue: {prefetch: [1]}", "1:19: queue.prefetch: must be a mapping, not a list"),
        ("queue: {prefetch: {low: 0}}", "1:25: queue.prefetch.low: cannot be 0; use at least 1"),
        ("queue: {prefetch: {lwo: 1}}", "1:20: queue.prefetch.lwo: unknown key 'lwo'; did you mean 'low'?"),
        ("worker: {shutdown_timeout: 30}", "1:28: worker.shutdown_timeout: not a duration"),
        ("worker: {instance_id: 'a b'}", "1:23: worker.instance_id: not an instance id"),
        ("rate_limit: {global: 0}", "1:22: rate_limit.global: not a limit; use a number above 0, or null"),
        ("rate_limit: {global_: 5}", "1:14: rate_limit.global_: unknown key 'global_'; did you mean 'global'?"),
        ("rate_limit: {global: 1e999}", "1:22: rate_limit.global: must be a finite number"),
        ("rate_limit: {per_task: {a b: 1}}", "1:25: rate_limit.per_task.a: task id 'a b'"),
        ("execution: {timeout: 16m}", "1:22: execution.timeout: duration 16m: use at most 15m"),
        ("execution: {retry_delay: 2h}", "1:12: execution: has a retry_delay above its max_retry_delay"),
        ("guard: {allow: [10.0.0.1/8]}", "1:17: guard.allow[0]: '10.0.0.1/8': not a network, or one with bits behind"),
        ("guard: {deny: ['https://h/']}", "1:16: guard.deny[0]: 'https://h/': neither a network nor a host name"),
        ("guard: {allow: ['*.h']}", "1:17: guard.allow[0]: '*.h': neither a network nor a host name; use 10.0.0.0/8"),
        ("guard: {allow: h}", '1:16: guard.allow: must be a list, not text; write it as ["a", "b"]'),
        ("guard: {ports: [80, 0]}", "1:21: guard.ports[1]: port '0': use 1 to 65535"),
        ("guard: {ports: [90-80]}", "1:17: guard.ports[0]: ports 90-80: a range goes from the lower port"),
        ("guard: {ports: [true]}", "1:17: guard.ports[0]: not a port; use a number, or a range as in 1024-65535"),
        ("monitoring: {log_level: warn}", "1:25: monitoring.log_level: cannot be 'warn'; did you mean 'warning'?"),
        ("server: {port: 70000}", "1:16: server.port: cannot be 70000; use at most 65535"),
        ("", "1:1: not a mapping of sections; write {} for all defaults"),
        ("[]", "1:1: not a mapping of sections"),
    ],
)
def test_a_wrong_value_is_explained_where_it_stands(text: str, problem: str) -> None:
    (line,) = problems_of(text)
    assert line.startswith(f"worker.yaml:{problem}")


def test_the_lead_must_stay_below_the_ttl_of_the_delayed_queue(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.yaml"
    path.write_text("scheduler: {lead: 61s}\n")
    with pytest.raises(ConfigError, match=r"scheduler\.yaml:1:19: scheduler\.lead: duration 1m1s: use at most 60s"):
        load_scheduler_settings(path, {})


CANARY = "hunter2canary"


def test_no_secret_shows_in_the_text_of_settings() -> None:
    settings = worker_settings(f"redis: {{password: {CANARY}}}\nqueue: {{url: 'amqp://u:{CANARY}@h/'}}\n")
    assert settings.redis.password == SecretStr(CANARY)
    assert CANARY not in repr(settings) + str(settings) + str(settings.model_dump()) + settings.model_dump_json()
    assert "guest" not in repr(WorkerSettings())


@pytest.mark.parametrize(
    "text",
    [
        f"redis: {{password: [{CANARY}]}}",
        f"redis: {{pasword: {CANARY}}}",
        f"redis: {{password:{CANARY}}}",
        f"redis: password:{CANARY}",
        f"redis: {{addresses: ['redis://:{CANARY}@h:6379']}}",
        f"queue: {{url: 'http://u:{CANARY}@h'}}",
        f"queue: {{url: 'amqp://u:{CANARY}@'}}",
        f"queue: {{urls: '{CANARY}'}}",
        f"queue: {{urls: ['{CANARY}']}}",
        f"queue: {{prefetch: 'amqp://u:{CANARY}@h'}}",
        f"redis: {{password: {CANARY}: x}}",
    ],
)
def test_no_secret_shows_in_problems(text: str) -> None:
    assert CANARY not in "\n".join(problems_of(text))


def error_of(text: str) -> ConfigError | None:
    try:
        worker_settings(text)
    except ConfigError as error:
        return error
    return None


@given(st.text(alphabet="abc:{}[]- \n'\"0.~", max_size=40).map(lambda text: "redis:\n  " + text))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    error = error_of(text)
    assert error is None or all(problem.startswith("worker.yaml:") for problem in error.problems)
