"""docker/compose.yaml and what lies around it, judged as files; test_image.py runs what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from secrets import token_hex

import pytest
import yaml

from taskqueue.api.main import shutdown_timeout_s
from taskqueue.config.duration import parse_duration
from taskqueue.config.settings import (
    ApiSettings,
    SchedulerSettings,
    WorkerSettings,
    load_api_settings,
    load_scheduler_settings,
    load_worker_settings,
)
from taskqueue.scheduler.main import SHUTDOWN_TIMEOUT
from tests.support.compose import Service, read_compose
from tests.support.dockerfile import read_dockerfile

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SERVICES, DOCUMENT = read_compose(DOCKER / "compose.yaml")

OURS = tuple(name for name, service in SERVICES.items() if service.rest["image"].startswith("taskqueue:"))
PROCESSES = ("scheduler", "worker", "api")
LOADERS: dict[str, Callable[..., SchedulerSettings | WorkerSettings | ApiSettings]] = {
    "scheduler": load_scheduler_settings,
    "worker": load_worker_settings,
    "api": load_api_settings,
}

#: variables that no file of settings has: they are options of the command line
_OF_THE_COMMAND = {"TASKQUEUE_API_URL", "TASKQUEUE_MANAGEMENT_URL", "TASKQUEUE_TOKEN_FILE"}


def grace_s(service: Service) -> float:
    """Return how long Docker waits between SIGTERM and SIGKILL."""
    return parse_duration(service.rest["stop_grace_period"]).total_seconds()


def test_the_services_are_those_that_the_page_describes() -> None:
    assert set(SERVICES) == {"rabbitmq", "redis", "topology", *PROCESSES, "cli"}
    assert set(OURS) == set(SERVICES) - {"rabbitmq", "redis"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_nothing_that_they_need_not(name: str) -> None:
    rest = SERVICES[name].rest

    assert rest["read_only"] is True
    assert rest["cap_drop"] == ["ALL"]
    assert rest["tmpfs"] == ["/tmp"]  # noqa: S108 - the one place in the container that is written to
    assert rest["pids_limit"] > 0
    assert rest["mem_limit"]
    assert all(read_only for _, _, read_only in SERVICES[name].volumes)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_gain_rights_or_run_with_all_of_the_host(name: str) -> None:
    rest = SERVICES[name].rest

    assert rest["security_opt"] == ["no-new-privileges:true"]
    assert rest.keys().isdisjoint({"privileged", "cap_add", "devices", "user", "pid", "ipc", "network_mode"})
    assert not any("docker.sock" in source for source, _, _ in SERVICES[name].volumes)


@pytest.mark.parametrize("name", SERVICES)
def test_logs_do_not_fill_the_disk(name: str) -> None:
    assert SERVICES[name].rest["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_host_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].ports)


def test_amqp_and_redis_are_open_to_containers_alone() -> None:
    published = [port.rpartition(":")[2] for service in SERVICES.values() for port in service.ports]

    assert sorted(published) == ["15672", "8000", "8080", "8081"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_that_is_mounted_is_there(name: str) -> None:
    for source, _, _ in SERVICES[name].volumes:
        if source.startswith("."):
            assert (DOCKER / source).exists(), source
        else:
            assert source in DOCUMENT["volumes"]


def test_every_secret_is_declared_and_none_without_need() -> None:
    used = {secret for service in SERVICES.values() for secret in service.secrets}

    assert used == DOCUMENT["secrets"].keys()
    assert {entry["file"] for entry in DOCUMENT["secrets"].values()} == {f"secrets/{name}" for name in used}


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_as_files_that_the_service_is_given(name: str) -> None:
    service = SERVICES[name]

    files = {value for key, value in service.environment.items() if key.endswith("_FILE")}

    assert {path.removeprefix("/run/secrets/") for path in files} <= set(service.secrets)
    for key, value in service.environment.items():
        assert key.endswith("_FILE") or not re.search(r"PASSWORD|SECRET|TOKEN|QUEUE__URL", key), key
        assert "@" not in value


def test_no_process_is_given_the_rights_of_another_one() -> None:
    urls = {
        name: [each for each in SERVICES[name].secrets if each.startswith("amqp-")] for name in (*PROCESSES, "topology")
    }

    assert urls == {**{name: [f"amqp-{name}-url"] for name in PROCESSES}, "topology": ["amqp-admin-url"]}
    assert "api-bootstrap-token" not in {*SERVICES["scheduler"].secrets, *SERVICES["worker"].secrets}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_variable_is_a_setting_of_the_process(name: str, tmp_path: Path) -> None:
    environment = dict(SERVICES[name].environment)
    for key in environment:
        if key.endswith("_FILE"):
            secret = tmp_path / key
            secret.write_text(
                "amqp://somebody:s3cret@rabbitmq:5672/taskqueue" if "QUEUE__URL" in key else token_hex(32)
            )
            environment[key] = str(secret)

    settings = LOADERS[name](ROOT / "config" / f"{name}.yaml", environment)

    assert settings.redis.endpoints == (("redis", 6379),)
    assert settings.redis.username == "taskqueue"
    assert list(settings.queue.candidates) == ["amqp://somebody:s3cret@rabbitmq:5672/taskqueue"]


def test_the_variables_of_the_command_line_are_settings_or_options() -> None:
    more = SERVICES["cli"].environment.keys() - SERVICES["scheduler"].environment.keys()

    assert more == _OF_THE_COMMAND


def test_docker_waits_longer_than_a_process_takes_to_end() -> None:
    worker = load_worker_settings(ROOT / "config" / "worker.yaml", {})
    api = load_api_settings(ROOT / "config" / "api.yaml", {})
    takes = {
        "scheduler": SHUTDOWN_TIMEOUT.total_seconds(),
        "worker": worker.worker.shutdown_timeout.total_seconds(),
        "api": shutdown_timeout_s(api),
    }

    assert {name: grace_s(SERVICES[name]) - seconds >= 5 for name, seconds in takes.items()} == dict.fromkeys(
        PROCESSES, True
    )


def test_there_are_two_schedulers_and_two_workers() -> None:
    assert {name: SERVICES[name].rest["deploy"]["replicas"] for name in ("scheduler", "worker")} == {
        "scheduler": "2",
        "worker": "2",
    }


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_starts_behind_the_queues_and_its_health_is_asked_at_its_own_port(name: str) -> None:
    service = SERVICES[name]
    settings = LOADERS[name](ROOT / "config" / f"{name}.yaml", {})

    assert service.rest["depends_on"]["topology"] == {"condition": "service_completed_successfully"}
    assert service.healthcheck == ("taskqueue", "health", f"http://127.0.0.1:{settings.server.port}/livez")
    assert service.ports[0].endswith(f":{settings.server.port}")


@pytest.mark.parametrize("name", ["rabbitmq", "redis", *PROCESSES])
def test_what_stays_is_started_again_and_looked_after(name: str) -> None:
    rest = SERVICES[name].rest

    assert rest["restart"] == "unless-stopped"
    assert rest["healthcheck"].keys() >= {"test", "interval", "timeout", "start_period"}


@pytest.mark.parametrize("name", ["topology", "cli"])
def test_what_ends_by_itself_is_not_started_again(name: str) -> None:
    assert SERVICES[name].rest["restart"] == "no"
    assert SERVICES[name].rest["healthcheck"] == {"disable": True}


def test_every_image_is_of_a_named_version() -> None:
    images = [service.rest["image"] for name, service in SERVICES.items() if name not in OURS]
    bases = {stage.base for stage in read_dockerfile(DOCKER / "Dockerfile")}

    assert all(re.search(r":\d+\.\d+", image) for image in (*images, *bases))


def test_the_example_of_variables_has_each_with_its_default_and_no_other() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")

    named = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    shown = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))

    assert shown == named


def test_docker_is_sent_exactly_what_the_image_copies() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {rule.removeprefix("!").removesuffix("/**") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for stage in read_dockerfile(DOCKER / "Dockerfile")
        for step in stage.steps
        if step.word == "COPY" and not step.text.startswith("--from=")
        for source in step.text.split()[:-1]
    }

    assert [rule for rule in rules if rule and not rule.startswith(("!", "#"))] == ["*", "**/__pycache__"]
    assert let_through == copied
    assert all((ROOT / source).exists() for source in copied)
    assert not any(fnmatch(source, pattern) for source in copied for pattern in ("*secret*", "docker*", ".git*"))


def test_git_keeps_out_what_make_secrets_makes() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert {"docker/secrets/", "docker/.env"} <= set(ignored)


def test_no_variable_stands_twice_with_two_defaults() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    found = re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text)

    assert len(set(found)) == len({name for name, _ in found})


def test_the_file_is_yaml_without_keys_that_stand_twice() -> None:
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
            names = [key.value for key, _ in node.value if key.value != "<<"]
            assert len(names) == len(set(names)), names
            return super().construct_mapping(node, deep)

    assert yaml.load((DOCKER / "compose.yaml").read_text(encoding="utf-8"), Strict)  # noqa: S506 - a safe loader
