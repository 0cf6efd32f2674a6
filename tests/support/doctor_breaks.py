"""For each check of `taskqueue doctor` a way to break the thing for real."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pika

from taskqueue.core.doctor import Severity
from tests.support.doctor_desk import TASK, DoctorDesk
from tests.support.inbox import eventually
from tests.support.queue_depths import depths_of
from tests.support.rabbitmq_control import rabbitmqctl_script, set_consumer_timeout

#: breaks it, and returns what doctor is to be told besides, as changes to its subject
Deed = Callable[[DoctorDesk], Awaitable[Mapping[str, Any] | None]]

NOTHING_LISTENS = "127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One way to break what `check` looks at; `says` is part of what doctor then says."""

    check: str
    name: str
    severity: Severity
    says: str
    do: Deed


BREAKS: list[Break] = []


def breaks(check: str, severity: Severity, says: str) -> Callable[[Deed], Deed]:
    """Add the function below to the ways to break what `check` looks at."""

    def add(deed: Deed) -> Deed:
        BREAKS.append(Break(check=check, name=deed.__name__.strip("_"), severity=severity, says=says, do=deed))
        return deed

    return add


# --- RabbitMQ ---------------------------------------------------------------------------------------------------------


@breaks("rabbitmq-reachable", Severity.FAIL, "127.0.0.1:1")
async def _nothing_listens(_desk: DoctorDesk) -> Mapping[str, Any]:
    return {"amqp_urls": (f"amqp://me:hunter2@{NOTHING_LISTENS}/",)}


@breaks("rabbitmq-reachable", Severity.FAIL, "ACCESS_REFUSED")
async def _wrong_password(desk: DoctorDesk) -> Mapping[str, Any]:
    return {"amqp_urls": (desk.as_user("guest", "hunter2"),)}


@breaks("rabbitmq-management", Severity.FAIL, "ttempts failed")
async def _no_management(_desk: DoctorDesk) -> Mapping[str, Any]:
    return {"management": f"http://me:hunter2@{NOTHING_LISTENS}"}


@breaks("rabbitmq-management", Severity.FAIL, "answered 401")
async def _management_refuses(desk: DoctorDesk) -> Mapping[str, Any]:
    assert desk.rabbitmq is not None
    assert desk.rabbitmq.management_url is not None
    return {"management": desk.rabbitmq.management_url.replace("://", "://me:hunter2@")}


@breaks("rabbitmq-version", Severity.WARN, "whether it is one is not known")
async def _old_and_perhaps_a_cluster(_desk: DoctorDesk) -> Mapping[str, Any]:
    return {"management": None}


@breaks("rabbitmq-permissions", Severity.FAIL, "refused for user")
async def _may_not_publish(desk: DoctorDesk) -> Mapping[str, Any]:
    return await _limited(desk, configure="^$", write="^$", read="^$")


@breaks("rabbitmq-permissions", Severity.FAIL, "taskqueue.delay")
async def _may_not_delay(desk: DoctorDesk) -> Mapping[str, Any]:
    lane = r"^taskqueue\.lane(\.|$)"
    return await _limited(desk, configure=lane, write=r"^taskqueue(\.lane.*)?$", read=r"^taskqueue(\.lane.*)?$")


@breaks("rabbitmq-queues", Severity.FAIL, "inequivalent arg 'x-queue-type'")
async def _a_queue_of_another_type(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        connection.channel().queue_delete("taskqueue.jobs.failed")
        connection.channel().queue_declare("taskqueue.jobs.failed", durable=True)


@breaks("rabbitmq-queues", Severity.FAIL, "no queue 'taskqueue.jobs.low'")
async def _a_missing_queue(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        connection.channel().queue_delete("taskqueue.jobs.low")


@breaks("rabbitmq-bindings", Severity.FAIL, "taskqueue.jobs.high with 'jobs.high'")
async def _a_missing_binding(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        connection.channel().queue_unbind("taskqueue.jobs.high", "taskqueue", "jobs.high")


@breaks("rabbitmq-policies", Severity.FAIL, "policy full and few: ")
async def _a_length_limit(desk: DoctorDesk) -> None:
    await _policy(desk, "policies", "full", {"max-length": 10})
    await _policy(desk, "operator-policies", "few", {"delivery-limit": 2})
    await _is_shown(desk, "taskqueue.jobs.low", policy="full", operator_policy="few")


@breaks("rabbitmq-dead-lettering", Severity.FAIL, "leads to no queue")
async def _the_delayed_queue_is_unbound(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        connection.channel().queue_unbind("taskqueue.jobs.delayed", "taskqueue.delay", "")


@breaks("rabbitmq-dead-lettering", Severity.FAIL, "did not come out")
async def _a_delayed_queue_that_drops(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete("taskqueue.jobs.delayed")
        channel.queue_declare("taskqueue.jobs.delayed", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("taskqueue.jobs.delayed", "taskqueue.delay")


@breaks("rabbitmq-dead-lettering", Severity.SKIPPED, "may not be due yet")
async def _behind_a_job(desk: DoctorDesk) -> None:
    await _delay_a_message(desk)


@breaks("rabbitmq-lane", Severity.FAIL, "the last was due 60 s ago")
async def _a_foreign_message_holds_it_up(desk: DoctorDesk) -> None:
    await _delay_a_message(desk)
    await desk.redis.set("taskqueue:lane_tail", int((time.time() - 60) * 1000), px=60_000)


@breaks("rabbitmq-lane", Severity.WARN, "not moved to their ready queues for seconds: 5")
async def _jobs_that_lead_nowhere(desk: DoctorDesk) -> None:
    await _a_missing_binding(desk)
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        for _ in range(5):
            due = pika.BasicProperties(expiration="1", delivery_mode=2)
            connection.channel().basic_publish("taskqueue.delay", "jobs.high", b"{}", due)
    await _is_shown(desk, "taskqueue.jobs.delayed", messages_dlx=5)


@breaks("rabbitmq-consumers", Severity.FAIL, "taskqueue.jobs.low: nobody consumes it; messages that wait: 2")
async def _nobody_takes_the_jobs_of_a_queue(desk: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete("taskqueue.jobs.low")
        channel.queue_declare("taskqueue.jobs.low", durable=True)
        channel.queue_bind("taskqueue.jobs.low", "taskqueue", "jobs.low")
    for _ in range(2):
        await _publish(desk, "taskqueue", "jobs.low")


@breaks("rabbitmq-consumer-timeout", Severity.FAIL, "60 s, and a call of task daily_report may take 300 s")
async def _a_short_consumer_timeout(desk: DoctorDesk) -> Mapping[str, Any]:
    assert desk.rabbitmq is not None
    await set_consumer_timeout(desk.rabbitmq, timeout_ms=60_000, looked_at_every_ms=60_000)
    return {"rabbitmqctl": str(rabbitmqctl_script(desk.rabbitmq, desk.directory))}


@breaks("rabbitmq-consumer-timeout", Severity.SKIPPED, "cannot be run")
async def _no_rabbitmqctl(_desk: DoctorDesk) -> Mapping[str, Any]:
    return {"rabbitmqctl": "/nowhere/rabbitmqctl"}


@breaks("rabbitmq-failed-jobs", Severity.WARN, "jobs that failed for good: 1")
async def _a_failed_job(desk: DoctorDesk) -> None:
    await _publish(desk, "taskqueue", "jobs.failed")
    await _depth_is(desk, "taskqueue.jobs.failed", 1)


# --- Redis ------------------------------------------------------------------------------------------------------------


@breaks("redis-reachable", Severity.FAIL, "127.0.0.1:1")
async def _no_redis_listens(desk: DoctorDesk) -> Mapping[str, Any]:
    return {"redis": desk.subject.redis.model_copy(update={"addresses": (NOTHING_LISTENS,)})}


@breaks("redis-reachable", Severity.FAIL, "check redis.username and redis.password")
async def _a_wrong_user(desk: DoctorDesk) -> Mapping[str, Any]:
    return {"redis": desk.subject.redis.model_copy(update={"username": "nobody"})}


@breaks("redis-writes", Severity.FAIL, "NOREPLICAS")
async def _too_few_replicas_to_write(desk: DoctorDesk) -> None:
    await desk.redis.config_set("min-replicas-to-write", 1)


@breaks("redis-replicas", Severity.FAIL, "fewer than the 1 replicas")
async def _too_few_replicas(desk: DoctorDesk) -> None:
    await desk.redis.config_set("min-replicas-to-write", 1)


@breaks("redis-permissions", Severity.FAIL, "scripting, the channel __redis__:invalidate")
async def _a_user_without_scripts(desk: DoctorDesk) -> Mapping[str, Any]:
    rights = "reset on nopass ~taskqueue:* resetchannels -@all +@read +@write +@connection +@pubsub +role +time"
    await desk.redis.execute_command("ACL", "SETUSER", "few", *rights.split())
    return {"redis": desk.subject.redis.model_copy(update={"username": "few"})}


@breaks("redis-persistence", Severity.FAIL, "no append-only file")
async def _no_append_only_file(desk: DoctorDesk) -> None:
    await desk.redis.config_set("appendonly", "no")


@breaks("redis-persistence", Severity.WARN, "appendfsync no")
async def _nothing_is_synced(desk: DoctorDesk) -> None:
    await desk.redis.config_set("appendfsync", "no")


@breaks("redis-persistence", Severity.FAIL, "rdb_last_bgsave_status is err")
async def _a_snapshot_that_fails(desk: DoctorDesk) -> None:
    gone = desk.directory / "gone"
    gone.mkdir()
    await desk.redis.config_set("dir", str(gone))
    gone.rmdir()
    await desk.redis.bgsave()

    async def failed() -> bool:
        return bool((await desk.redis.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await eventually(failed)


@breaks("redis-eviction", Severity.FAIL, "maxmemory-policy allkeys-lru")
async def _evicts_under_a_limit(desk: DoctorDesk) -> None:
    await desk.redis.config_set("maxmemory", "1gb")
    await desk.redis.config_set("maxmemory-policy", "allkeys-lru")


@breaks("redis-eviction", Severity.WARN, "no maxmemory is set yet")
async def _would_evict(desk: DoctorDesk) -> None:
    await desk.redis.config_set("maxmemory-policy", "volatile-ttl")


@breaks("redis-memory", Severity.FAIL, "of maxmemory")
async def _hardly_memory_left(desk: DoctorDesk) -> None:
    used = (await desk.redis.info("memory"))["used_memory"]
    await desk.redis.config_set("maxmemory", int(used * 1.03))


@breaks("redis-keys-without-ttl", Severity.WARN, "taskqueue:done:*")
async def _a_mark_that_never_ends(desk: DoctorDesk) -> None:
    await desk.redis.set("taskqueue:done:job-1", "success")


# --- the system -------------------------------------------------------------------------------------------------------


@breaks("redis-key-types", Severity.FAIL, "taskqueue:due: is a string and should be a zset")
async def _a_key_of_another_type(desk: DoctorDesk) -> None:
    await desk.redis.set("taskqueue:due", "")


@breaks("schedulers", Severity.FAIL, "taskqueue:fleet:schedulers")
async def _schedulers_that_cannot_be_read(desk: DoctorDesk) -> None:
    await desk.redis.delete("taskqueue:fleet:schedulers")
    await desk.redis.set("taskqueue:fleet:schedulers", "")


@breaks("limits", Severity.FAIL, "taskqueue:limits:overrides")
async def _overrides_that_cannot_be_read(desk: DoctorDesk) -> None:
    await desk.redis.set("taskqueue:limits:overrides", "")


@breaks("schedulers", Severity.FAIL, "none lives")
async def _no_scheduler(desk: DoctorDesk) -> None:
    await desk.redis.delete("taskqueue:fleet:schedulers")


@breaks("schedulers", Severity.WARN, "only scheduler-1")
async def _one_scheduler(desk: DoctorDesk) -> None:
    await desk.redis.zrem("taskqueue:fleet:schedulers", "scheduler-2:1")


@breaks("leader", Severity.FAIL, "nobody holds the lease")
async def _no_lease(desk: DoctorDesk) -> None:
    await desk.redis.delete("taskqueue:distribution:lock")


@breaks("leader", Severity.FAIL, "held by stranger")
async def _a_lease_of_somebody_who_is_gone(desk: DoctorDesk) -> None:
    await desk.redis.set("taskqueue:distribution:lock", "stranger:0123", px=60_000)


@breaks("workers", Severity.FAIL, "nothing is called")
async def _no_worker(desk: DoctorDesk) -> None:
    await desk.redis.delete("taskqueue:fleet:workers")


@breaks("workers", Severity.WARN, "did not say good-bye")
async def _a_silent_worker(desk: DoctorDesk) -> None:
    await desk.redis.zincrby("taskqueue:fleet:workers", -60_000, "worker-1:1")


@breaks("tasks-file", Severity.FAIL, "in force")
async def _a_file_that_is_not_in_force(desk: DoctorDesk) -> None:
    _write(desk, {**TASK, "name": "Another one"})


@breaks("tasks-file", Severity.FAIL, "tasks.yaml:")
async def _a_file_with_a_mistake(desk: DoctorDesk) -> None:
    _write(desk, {**TASK, "intervall": {}})


@breaks("tasks-file", Severity.FAIL, "no leader has put any tasks in force yet")
async def _nothing_in_force(desk: DoctorDesk) -> None:
    await desk.redis.delete("taskqueue:catalog", "taskqueue:catalog:revision")


@breaks("references", Severity.WARN, "no environment variable NOT_THERE")
async def _an_unset_variable(desk: DoctorDesk) -> None:
    await desk.write_tasks({**TASK, "config": {**TASK["config"], "headers": {"Authorization": "${env:NOT_THERE}"}}})


@breaks("limits", Severity.FAIL, "50 users / 10 s = 5/s > rate_limit 1/s")
async def _more_users_than_a_limit_lets_through(desk: DoctorDesk) -> None:
    await desk.write_tasks({**TASK, "distribution_window": "10s"})
    await desk.redis.hset("taskqueue:limits", "task:daily_report", json.dumps({"rate": 1, "burst": 1}))
    for number in range(50):
        await desk.redis.hset(f"taskqueue:users:user-{number}:tasks", "daily_report", "1")


# --- how --------------------------------------------------------------------------------------------------------------


async def _limited(desk: DoctorDesk, **rights: str) -> Mapping[str, Any]:
    user = f"few-{desk.vhost}"
    (await desk.management.put(f"/api/users/{user}", json={"password": "s3cret", "tags": ""})).raise_for_status()
    (await desk.management.put(f"/api/permissions/{desk.vhost}/{user}", json=rights)).raise_for_status()
    return {"amqp_urls": (desk.as_user(user, "s3cret"),), "management": None}


async def _policy(desk: DoctorDesk, kind: str, name: str, definition: Mapping[str, int]) -> None:
    policy = {"pattern": r"^taskqueue\.jobs\.low$", "apply-to": "queues", "definition": definition}
    (await desk.management.put(f"/api/{kind}/{desk.vhost}/{name}", json=policy)).raise_for_status()


async def _is_shown(desk: DoctorDesk, queue: str, **wanted: object) -> None:
    # What RabbitMQ shows of a queue is as old as five seconds.
    async def shown() -> bool:
        found = (await desk.management.get(f"/api/queues/{desk.vhost}/{queue}")).json()
        return {name: found.get(name) for name in wanted} == wanted

    await eventually(shown, 20)


async def _delay_a_message(desk: DoctorDesk) -> None:
    await _publish(desk, "taskqueue.delay", "jobs.low")
    await _depth_is(desk, "taskqueue.jobs.delayed", 1)


async def _publish(desk: DoctorDesk, exchange: str, key: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(desk.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(delivery_mode=2), mandatory=True)


async def _depth_is(desk: DoctorDesk, queue: str, wanted: int) -> None:
    async def reached() -> bool:
        return await asyncio.to_thread(depths_of, desk.amqp_url, queue) == {queue: wanted}

    await eventually(reached, 10)


def _write(desk: DoctorDesk, task: Mapping[str, Any]) -> None:
    (desk.directory / "tasks.yaml").write_text(json.dumps({"tasks": [task]}), encoding="utf-8")
