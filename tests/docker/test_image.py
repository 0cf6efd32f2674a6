"""The image and the services of compose.yaml, run for real; tests/support/image_root.py says how without Docker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing

import httpx
import pika
import pytest
import redis
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from taskqueue.dev.target import Target
from tests.support.api_system import Client
from tests.support.compose_stack import Container, Stack
from tests.support.dockerfile import Stage
from tests.support.image_root import Layer
from tests.support.inbox import eventually
from tests.support.queue_depths import depths_of

pytestmark = pytest.mark.timeout(300)


def redis_of(stack: Stack, user: str) -> redis.Redis:
    password = (stack.secrets / f"redis-{user}-password").read_text()
    return redis.Redis(port=stack.redis_port, username=user, password=password, decode_responses=True)


async def trigger(
    stack: Stack,
    containers: dict[str, list[Container]],
    task: str,
    *users: str,
    execute_immediately: bool = True,
) -> None:
    """Let a task run for users, who want it."""
    for user in users:
        redis_of(stack, "taskqueue").hset(f"taskqueue:users:{user}:tasks", task, "1")
    order = {"task_type_id": task, "user_ids": users, "execute_immediately": execute_immediately}
    async with httpx.AsyncClient(base_url=containers["scheduler"][1].url, trust_env=False) as scheduler:
        triggered = await scheduler.post("/schedule/trigger", json=order)
    assert triggered.status_code == 202, triggered.text


async def answered(target: Target, user: str, statuses: list[int]) -> bool:
    """Return whether the calls for a user got these answers."""
    return [call.status for call in target.calls if call.headers.get("x-taskqueue-user") == user] == statuses


async def failed_jobs(stack: Stack, count: int) -> bool:
    """Return whether so many messages are in the failed queue."""
    queue = "taskqueue.jobs.failed"
    return depths_of(stack.amqp_url("admin"), queue) == {queue: count}


async def shown(containers: dict[str, list[Container]], series: str) -> bool:
    """Return whether one of the schedulers has this among its metrics."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return any([series in (await http.get(f"{each.url}/metrics")).text for each in containers["scheduler"]])


# --- the image --------------------------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_in_particular(image: tuple[Stage, Layer]) -> None:
    _, layer = image

    assert layer.user == "10001:10001"
    assert "uid=10001(taskqueue) gid=10001(taskqueue)" in layer.run("id", "taskqueue")


def test_the_image_holds_the_package_and_not_the_checkout(image: tuple[Stage, Layer]) -> None:
    _, layer = image

    where = layer.run("python", "-c", "import taskqueue; print(taskqueue.__file__)")

    assert where.startswith("/opt/taskqueue/lib/")


def test_without_words_the_image_shows_what_it_can(image: tuple[Stage, Layer]) -> None:
    stage, layer = image

    said = layer.run(*stage.exec_form("ENTRYPOINT"), *stage.exec_form("CMD"))

    assert "Usage: taskqueue" in said


def test_the_image_knows_time_zones_without_those_of_a_system(image: tuple[Stage, Layer]) -> None:
    _, layer = image
    program = "import zoneinfo; zoneinfo.reset_tzpath(()); print(zoneinfo.ZoneInfo('America/New_York'))"

    assert layer.run("python", "-c", program).strip() == "America/New_York"


def test_the_shipped_configuration_is_valid_where_the_image_has_it(image: tuple[Stage, Layer]) -> None:
    _, layer = image

    said = layer.run("sh", "-c", "taskqueue config validate /etc/taskqueue/*.yaml")

    assert said.count("ok: ") == 4


def test_verbs_find_their_settings_where_the_image_has_them(image: tuple[Stage, Layer]) -> None:
    _, layer = image

    assert "ok: config/api.yaml" in layer.run("taskqueue", "config", "validate", "config/api.yaml")


# --- its services -----------------------------------------------------------------------------------------------------


async def test_a_task_of_the_file_goes_the_whole_road(
    stack: Stack, containers: dict[str, list[Container]], target: Target
) -> None:
    await trigger(stack, containers, "nightly", "ann")

    await eventually(lambda: answered(target, "ann", [200]), 15)


async def test_jobs_of_a_spread_occurrence_go_through_the_delayed_queue_by_priority(
    stack: Stack, containers: dict[str, list[Container]], target: Target
) -> None:
    await trigger(stack, containers, "weak", "cem", "dee", "eve", execute_immediately=False)

    for user in ("cem", "dee", "eve"):
        await eventually(lambda user=user: answered(target, user, [200]), 20)
    assert await shown(containers, 'taskqueue_jobs_published_total{mode="lane",queue="taskqueue.jobs.high"}')


async def test_the_leader_may_watch_the_delayed_queue(containers: dict[str, list[Container]]) -> None:
    await eventually(lambda: shown(containers, "taskqueue_lane_lag_seconds"), 15)


async def test_a_job_that_fails_is_tried_again(
    stack: Stack, containers: dict[str, list[Container]], target: Target
) -> None:
    target.set_user_rule("flo", "/fail/1")

    await trigger(stack, containers, "weak", "flo")

    await eventually(lambda: answered(target, "flo", [500, 200]), 20)


async def test_a_job_that_failed_for_good_is_replayed_by_the_operator(
    stack: Stack, containers: dict[str, list[Container]], target: Target
) -> None:
    target.set_user_rule("gil", "/status/404")
    await trigger(stack, containers, "nightly", "gil")
    await eventually(lambda: failed_jobs(stack, 1), 20)
    target.set_user_rule("gil", None)

    said = await asyncio.to_thread(stack.run, "cli", "failed", "replay", "--yes", "--user", "gil")

    assert "replayed 1" in said
    await eventually(lambda: answered(target, "gil", [404, 200]), 20)
    assert await failed_jobs(stack, 0)


async def test_the_doctor_may_look_at_what_it_needs_to(stack: Stack, containers: dict[str, list[Container]]) -> None:
    checks = ["rabbitmq-alarms", "rabbitmq-permissions", "rabbitmq-queues", "rabbitmq-bindings", "rabbitmq-policies"]
    checks += ["redis-permissions", "redis-writes", "leader", "workers"]
    only = [word for check in checks for word in ("--only", check)]

    said = await asyncio.to_thread(stack.run, "cli", "doctor", "-o", "json", *only)

    assert {each["check"]: each["severity"] for each in json.loads(said)["findings"]} == dict.fromkeys(checks, "ok")


async def test_the_doctor_looks_at_redis_as_its_operator(stack: Stack) -> None:
    operator = {
        "TASKQUEUE_REDIS__USERNAME": "operator",
        "TASKQUEUE_REDIS__PASSWORD_FILE": "/run/secrets/redis-operator-password",
    }
    words = ["doctor", "-o", "json", "--only", "redis-persistence", "--only", "redis-eviction"]

    said = await asyncio.to_thread(stack.run, "cli", *words, **operator)

    assert [each["severity"] for each in json.loads(said)["findings"]] == ["ok", "ok"]


async def test_a_task_of_the_api_goes_the_whole_road(
    stack: Stack, containers: dict[str, list[Container]], target: Target
) -> None:
    token = (stack.secrets / "api-bootstrap-token").read_text()

    async with Client(containers["api"][0].url, token) as api:
        task_id = await api.create(config={"endpoint": f"{target.url}/ok"})
        ended = await api.run_once(task_id)
        status = await api.get("/status")

    assert ended["status"] == "success"
    assert status["workers"]["active"] == 2
    assert None not in status["queue"].values()
    assert len(status["scheduler"]["followers"]) == 1


async def test_the_health_check_of_the_image_finds_a_process_at_any_port(
    image: tuple[Stage, Layer], containers: dict[str, list[Container]]
) -> None:
    stage, _ = image
    check = stage.exec_form("HEALTHCHECK")

    for container in (each for group in containers.values() for each in group):
        assert await asyncio.to_thread(container.healthy, check), container.name


async def test_the_health_check_fails_where_nobody_answers(
    image: tuple[Stage, Layer], containers: dict[str, list[Container]]
) -> None:
    stage, _ = image
    api = containers["api"][0]
    nowhere = Container(
        stack=api.stack,
        name="api",
        port=1,
        environment={"TASKQUEUE_SERVER__PORT": "1"},
        check=stage.exec_form("HEALTHCHECK"),
    )

    assert not await asyncio.to_thread(nowhere.healthy, nowhere.check)


def test_redis_refuses_the_user_of_taskqueue_what_it_does_not_need(stack: Stack) -> None:
    client = redis_of(stack, "taskqueue")

    for words in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["ACL", "LIST"], ["GET", "somebody:else"]):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)


def test_redis_lets_nobody_in_without_a_password_but_the_health_check(stack: Stack) -> None:
    anonymous = redis.Redis(port=stack.redis_port)
    words = stack.services["redis"].healthcheck
    program = shutil.which("redis-cli", path=os.environ["PATH"] + ":/usr/bin")
    assert program is not None

    with pytest.raises(redis.exceptions.AuthenticationError):
        anonymous.get("taskqueue:due")
    asked = subprocess.run(
        [program, "-p", str(stack.redis_port), *words[1:]], capture_output=True, text=True, timeout=30, check=True
    )
    assert asked.stdout.strip() == "PONG"


def test_redis_keeps_every_write_and_evicts_nothing(stack: Stack) -> None:
    found = redis_of(stack, "operator").config_get("*")

    assert (found["appendonly"], found["maxmemory-policy"]) == ("yes", "noeviction")


async def test_each_process_ends_cleanly_when_docker_stops_it(containers: dict[str, list[Container]]) -> None:
    for container in (each for group in containers.values() for each in group):
        assert container.server is not None
        assert await asyncio.to_thread(container.server.stop) == 0, container.name


# --- what users of RabbitMQ may not -----------------------------------------------------------------------------------


def publish(exchange: str, key: str) -> Callable[[BlockingChannel], object]:
    """Return what sends a message and waits for the answer."""

    def attempt(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, b"{}", mandatory=True)

    return attempt


def get(queue: str) -> Callable[[BlockingChannel], object]:
    """Return what takes a message."""
    return lambda channel: channel.basic_get(queue)


def purge(queue: str) -> Callable[[BlockingChannel], object]:
    """Return what drops all messages."""
    return lambda channel: channel.queue_purge(queue)


def declare(queue: str) -> Callable[[BlockingChannel], object]:
    """Return what makes a queue."""
    return lambda channel: channel.queue_declare(queue, durable=True)


def delete(queue: str) -> Callable[[BlockingChannel], object]:
    """Return what deletes a queue."""
    return lambda channel: channel.queue_delete(queue)


def bind(queue: str) -> Callable[[BlockingChannel], object]:
    """Return what lets all delayed jobs go to a queue."""
    return lambda channel: channel.queue_bind(queue, "taskqueue", "jobs.high")


REFUSED = {
    "scheduler": [
        *(get(f"taskqueue.jobs.{queue}") for queue in ("high", "normal", "low", "delayed", "failed")),
        *(purge(f"taskqueue.jobs.{queue}") for queue in ("high", "delayed", "failed")),
        *(delete(f"taskqueue.jobs.{queue}") for queue in ("low", "failed")),
        declare("taskqueue.jobs.more"),
        bind("taskqueue.jobs.low"),
        publish("", "taskqueue.jobs.high"),
    ],
    "worker": [
        publish("taskqueue.delay", "jobs.high"),
        publish("", "taskqueue.jobs.delayed"),
        *(get(f"taskqueue.{queue}") for queue in ("jobs.failed", "jobs.delayed", "lane")),
        *(purge(f"taskqueue.{queue}") for queue in ("jobs.failed", "jobs.delayed")),
        *(delete(f"taskqueue.jobs.{queue}") for queue in ("high", "failed")),
        declare("taskqueue.jobs.more"),
        bind("taskqueue.jobs.low"),
    ],
    "api": [
        publish("taskqueue", "jobs.high"),
        publish("taskqueue.delay", "jobs.high"),
        publish("", "taskqueue.jobs.high"),
        *(get(f"taskqueue.jobs.{queue}") for queue in ("high", "normal", "low", "delayed", "failed")),
        purge("taskqueue.jobs.high"),
        delete("taskqueue.jobs.high"),
        declare("taskqueue.jobs.more"),
        bind("taskqueue.jobs.low"),
    ],
    "monitor": [publish("taskqueue", "jobs.high"), get("taskqueue.jobs.high"), declare("taskqueue.jobs.more")],
    "admin": [declare("somebody.else"), publish("", "taskqueue.jobs.high"), get("somebody.else")],
}


@pytest.mark.parametrize("user", REFUSED)
def test_rabbitmq_refuses_each_user_what_it_does_not_need(stack: Stack, user: str) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(stack.amqp_url(user)))) as connection:
        for attempt in REFUSED[user]:
            with pytest.raises(ChannelClosedByBroker) as refused:
                attempt(connection.channel())
            assert refused.value.reply_code == 403, refused.value


def test_nobody_logs_in_to_rabbitmq_as_guest(stack: Stack) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{stack.amqp_port}/taskqueue"

    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(url))
