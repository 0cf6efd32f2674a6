"""Each check of `taskqueue doctor`, shown by breaking what it looks at for real.

RabbitMQ 4 and Redis 6 cannot be had here, and no host has a clock of its own: tests/unit/core/test_doctor_*.py judge
their figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest

from taskqueue.broker.connection import connect
from taskqueue.broker.examination import examine_broker
from taskqueue.broker.names import QUEUES
from taskqueue.cli import doctor_management, doctor_rabbitmqctl
from taskqueue.core.doctor import CHECKS, CHECKS_BY_ID, Severity
from taskqueue.core.doctor_broker import CanaryEnd
from taskqueue.dev.services import RabbitMQ
from tests.support.doctor_breaks import BREAKS, NOTHING_LISTENS, Break
from tests.support.doctor_desk import DoctorDesk, doctor_desk, problems
from tests.support.fake_time import FakeTime, faketime_library
from tests.support.inbox import eventually
from tests.support.own_redis import OwnRedis, own_redis_servers
from tests.support.queue_depths import depths_of
from tests.support.rabbitmq_control import set_consumer_timeout, set_memory_alarm
from tests.support.tcp_proxy import TcpProxy

#: what the table leaves to tests of their own, here or (versions) with figures alone
ELSEWHERE = {
    "rabbitmq-alarms": "test_an_alarm_is_found",
    "redis-clock": "test_a_clock_that_is_wrong_is_found",
    "redis-cluster": "test_a_redis_cluster_is_found",
    "redis-version": "tests/unit/core/test_doctor_store.py",
}

#: the settings of the own Redis that breaks change
SETTINGS = ("min-replicas-to-write", "appendonly", "appendfsync", "dir", "maxmemory", "maxmemory-policy")


@pytest.fixture(scope="module")
def servers() -> Iterator[OwnRedis]:
    with own_redis_servers() as own:
        yield own


@pytest.fixture(scope="module")
def address(servers: OwnRedis) -> str:
    _, address = servers.start("--enable-protected-configs", "yes")
    return address


@pytest.fixture
async def system(rabbitmq: RabbitMQ, amqp_url: str, address: str, tmp_path: Path) -> AsyncIterator[DoctorDesk]:
    """Both services, and a virtual host of RabbitMQ that is this test's own."""
    if rabbitmq.management_url is None or not rabbitmq.restartable:
        pytest.skip("needs a RabbitMQ of our own")
    async with doctor_desk(rabbitmq, amqp_url, address, tmp_path) as desk:
        yield desk


@pytest.fixture
async def store(address: str, tmp_path: Path) -> AsyncIterator[DoctorDesk]:
    """Redis alone, which has its settings again afterwards."""
    async with doctor_desk(None, f"amqp://{NOTHING_LISTENS}/", address, tmp_path) as desk:
        before = {name: (await desk.redis.config_get(name))[name] for name in SETTINGS}
        yield desk
        for name, value in before.items():
            await desk.redis.config_set(name, value)
        if (await desk.redis.info("persistence"))["rdb_last_bgsave_status"] != "ok":
            await desk.redis.save()


def _named(broken: Break) -> str:
    return f"{broken.check}-{broken.name}"


_OF_RABBITMQ = [broken for broken in BREAKS if broken.check.startswith("rabbitmq-")]
_OTHERS = [broken for broken in BREAKS if broken not in _OF_RABBITMQ]


@pytest.mark.parametrize("broken", _OTHERS, ids=_named)
async def test_what_is_broken_is_found(store: DoctorDesk, broken: Break) -> None:
    await _assert_found(store, broken)


@pytest.mark.parametrize("broken", _OF_RABBITMQ, ids=_named)
async def test_what_is_broken_at_rabbitmq_is_found(system: DoctorDesk, broken: Break) -> None:
    await _assert_found(system, broken)


async def _assert_found(desk: DoctorDesk, broken: Break) -> None:
    told = await broken.do(desk)

    found = await desk.look(broken.check, **told or {})

    (worst, *_) = [finding for finding in found if finding.severity is broken.severity] or [None]
    assert worst is not None, problems(found)
    assert broken.says in f"{worst.place}: {worst.found}", problems(found)
    assert worst.remedy, problems(found)
    assert "hunter2" not in problems(found)


async def test_nothing_is_found_where_all_is_well(system: DoctorDesk) -> None:
    found = await system.look(*CHECKS_BY_ID)

    assert {finding.check for finding in found} == CHECKS_BY_ID.keys()
    # The consumer_timeout wants a rabbitmqctl, which takes seconds.
    bad = [each for each in found if each.severity is not Severity.OK and each.check != "rabbitmq-consumer-timeout"]
    assert not bad, problems(found)


async def test_workers_that_live_and_tell_no_limits_have_none(store: DoctorDesk) -> None:
    await store.redis.delete("taskqueue:limits")

    (found,) = await store.look("limits")

    assert found.severity is Severity.OK, problems([found])


async def test_an_alarm_is_found(system: DoctorDesk, rabbitmq: RabbitMQ) -> None:
    await set_memory_alarm(rabbitmq, on=True)
    try:
        found = await system.look("rabbitmq-reachable", "rabbitmq-alarms", "rabbitmq-dead-lettering", management=None)
    finally:
        await set_memory_alarm(rabbitmq, on=False)

    assert [finding.severity for finding in found] == [Severity.OK, Severity.FAIL, Severity.SKIPPED], problems(found)
    assert "nothing is published" in found[1].found


async def test_a_probe_of_the_leader_shows_that_a_busy_delayed_queue_moves(system: DoctorDesk) -> None:
    with pika.BlockingConnection(pika.URLParameters(system.amqp_url)) as connection:
        channel = connection.channel()
        # Like a leader: so that the queue has where to go when nobody watches.
        channel.queue_declare("taskqueue.lane", durable=True, arguments={"x-queue-type": "quorum", "x-message-ttl": 0})
        channel.queue_bind("taskqueue.lane", "taskqueue", "lane")
        for key, expiration in (("lane", "500"), ("jobs.low", "60000")):
            channel.basic_publish("taskqueue.delay", key, b"", pika.BasicProperties(expiration=expiration))

    found = await system.look("rabbitmq-dead-lettering")

    assert [finding.severity for finding in found] == [Severity.OK], problems(found)
    assert "the leader's probe came through" in found[0].found


async def test_nobody_gets_the_canary_but_doctor(system: DoctorDesk) -> None:
    await system.look("rabbitmq-dead-lettering")

    depths = depths_of(system.amqp_url, *QUEUES, "taskqueue.lane")
    assert not any(depths.values()), depths
    assert not system.taken


async def test_a_watch_queue_that_does_not_answer_costs_no_other_finding(system: DoctorDesk) -> None:
    session = await connect(system.amqp_url, "test")
    try:
        facts = await examine_broker(session, attach_within_s=0)
    finally:
        await session.close()

    assert facts.canary.end is CanaryEnd.NOT_WATCHED
    assert (facts.topology, facts.in_lane) == ((), 0)


async def test_a_slow_management_api_is_given_up(system: DoctorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_management, "_WITHIN", 1.0)
    parts = urlsplit(system.subject.management or "")
    async with asyncio.timeout(8), TcpProxy(parts.hostname or "", parts.port or 80) as proxy:
        proxy.freeze()
        found = await system.look("rabbitmq-bindings", management=f"http://127.0.0.1:{proxy.port}")

    assert [(each.check, each.severity.value) for each in found] == [
        ("rabbitmq-management", "fail"),
        ("rabbitmq-bindings", "skipped"),
    ], problems(found)


async def test_a_service_that_is_away_is_told_whatever_was_asked_for(store: DoctorDesk) -> None:
    away = store.subject.redis.model_copy(update={"addresses": (NOTHING_LISTENS,)})

    found = await store.look("rabbitmq-lane", "leader", redis=away)

    assert [(each.check, each.severity.value) for each in found] == [
        ("rabbitmq-reachable", "fail"),
        ("rabbitmq-lane", "skipped"),
        ("redis-reachable", "fail"),
        ("leader", "skipped"),
    ], problems(found)


async def test_what_rabbitmqctl_leaves_behind_is_ended_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_rabbitmqctl, "_WITHIN", 1.0)
    program, started = tmp_path / "rabbitmqctl", tmp_path / "started"
    program.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {started}\nwait\n", encoding="utf-8")
    program.chmod(0o755)

    async with asyncio.timeout(8):
        told = await doctor_rabbitmqctl.ask_rabbitmqctl(str(program))

    async def ended() -> bool:
        return not _lives(started)

    assert "did not answer within" in told.problem
    await eventually(ended)


async def test_a_replica_that_does_not_keep_up_is_found(store: DoctorDesk, servers: OwnRedis) -> None:
    host, port = store.subject.redis.endpoints[0]
    servers.start("--replicaof", f"{host} {port}")

    async def connected() -> bool:
        return bool((await store.redis.info("replication"))["connected_slaves"])

    await eventually(connected)

    # The primary waits for further ones before it sends anything.
    found = await store.look("redis-replicas")

    assert [finding.severity for finding in found] == [Severity.WARN], problems(found)
    assert found[0].found == "state wait_bgsave"


async def test_a_redis_cluster_is_found(store: DoctorDesk, servers: OwnRedis) -> None:
    _, address = servers.start("--cluster-enabled", "yes")

    found = await store.look("redis-cluster", redis=store.subject.redis.model_copy(update={"addresses": (address,)}))

    assert [finding.severity for finding in found] == [Severity.FAIL], problems(found)
    assert found[0].found == "runs as cluster"


async def test_a_clock_that_is_wrong_is_found(store: DoctorDesk, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    library = faketime_library(install_missing=pytestconfig.getoption("--require-services"))
    ahead = FakeTime(library, tmp_path, "doctor", "+1h").environment()
    addresses = json.dumps(list(store.subject.redis.addresses))
    command = ("-c", "from taskqueue.cli.main import main; main()", "doctor", "--only", "redis-clock", "-o", "json")

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--config",
        str(tmp_path / "scheduler.yaml"),
        env={"PATH": os.environ["PATH"], "TASKQUEUE_REDIS__ADDRESSES": addresses, **ahead},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    (found,) = json.loads(output)["findings"]
    assert (process.returncode, found["severity"]) == (0, "warn")
    assert "this host's clock is 3600." in found["found"]


def _lives(pid_file: Path) -> bool:
    """Return whether the process is there and has not ended, as one has that nobody asked how."""
    try:
        status = Path(f"/proc/{pid_file.read_text(encoding='utf-8').strip()}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_every_check_is_shown_by_breaking_something() -> None:
    shown = {broken.check for broken in BREAKS if broken.severity is not Severity.SKIPPED}

    assert shown.isdisjoint(ELSEWHERE)
    assert shown | ELSEWHERE.keys() == {check.id for check in CHECKS}
    here = {name for name in ELSEWHERE.values() if not name.endswith(".py")}
    assert here <= globals().keys()


@pytest.fixture(scope="module", autouse=True)
async def _usual_consumer_timeout(rabbitmq: RabbitMQ) -> AsyncIterator[None]:
    yield
    await set_consumer_timeout(rabbitmq, timeout_ms=1_800_000, looked_at_every_ms=60_000)
