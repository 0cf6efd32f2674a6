from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import httpx
import pytest

from taskqueue.broker import topology
from taskqueue.broker.connection import Session, connect
from taskqueue.broker.names import DELAYED_QUEUE, FAILED_QUEUE, QUEUES
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.errors import TopologyError

EXPECTED_BINDINGS = {
    *((("taskqueue", f"jobs.{name}", f"taskqueue.jobs.{name}")) for name in ("high", "normal", "low", "failed")),
    *(
        (("taskqueue", f"taskqueue.jobs.{name}", f"taskqueue.jobs.{name}"))
        for name in ("high", "normal", "low", "failed")
    ),
    ("taskqueue", "taskqueue.jobs.delayed", "taskqueue.jobs.normal"),
    ("taskqueue.delay", "", "taskqueue.jobs.delayed"),
}
READY = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "taskqueue",
    "x-dead-letter-routing-key": "jobs.failed",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": 10,
}
EXPECTED_QUEUES = {
    "taskqueue.jobs.high": READY,
    "taskqueue.jobs.normal": READY,
    "taskqueue.jobs.low": READY,
    "taskqueue.jobs.delayed": {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "taskqueue",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-message-ttl": 120_000,
    },
    "taskqueue.jobs.failed": {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000},
}


@pytest.fixture
def management(rabbitmq: object) -> httpx.Client:
    url = getattr(rabbitmq, "management_url", None)
    if url is None:
        pytest.skip("no management API")
    return httpx.Client(base_url=url, auth=("guest", "guest"), timeout=10, trust_env=False)


def vhost_of(url: str) -> str:
    return quote(urlsplit(url).path[1:], safe="")


def test_declares_exactly_the_designed_queues_and_bindings(
    session: Session, amqp_url: str, management: httpx.Client
) -> None:
    vhost = vhost_of(amqp_url)
    with management:
        definitions = management.get(f"/api/definitions/{vhost}").raise_for_status().json()

    assert {queue["name"]: queue["arguments"] for queue in definitions["queues"]} == EXPECTED_QUEUES
    assert all(queue["durable"] for queue in definitions["queues"])
    assert {(it["source"], it["routing_key"], it["destination"]) for it in definitions["bindings"]} == EXPECTED_BINDINGS
    assert {(it["name"], it["type"]) for it in definitions["exchanges"]} == {
        ("taskqueue", "direct"),
        ("taskqueue.delay", "fanout"),
    }


async def test_declaring_again_changes_nothing_and_keeps_messages(session: Session, publisher: Publisher) -> None:
    await publisher.publish(Outgoing(body=b"{}", message_id="m", routing_key="jobs.low"), 5)

    await topology.declare(session)

    assert (await topology.queue_depths(session))["taskqueue.jobs.low"] == 1


async def test_names_every_queue_and_argument_that_differs(amqp_url: str) -> None:
    session = await connect(amqp_url, "test")
    try:
        async with session.passing_channel("spoiling") as channel:
            await channel.queue_declare("taskqueue.jobs.high", durable=True, arguments={"x-queue-type": "quorum"})
            await channel.queue_declare(
                "taskqueue.jobs.delayed", durable=True, arguments={**EXPECTED_QUEUES[DELAYED_QUEUE], "x-message-ttl": 5}
            )
        with pytest.raises(TopologyError) as caught:
            await topology.declare(session)
    finally:
        await session.close()

    first, second = str(caught.value).splitlines()
    assert "queue taskqueue.jobs.high" in first
    assert "inequivalent arg 'x-d" in first
    assert "queue taskqueue.jobs.delayed" in second
    assert "'x-message-ttl'" in second
    assert "taskqueue topology apply" in second


class TestFailedQueueOfAnOlderVersion:
    @pytest.fixture
    async def older(self, amqp_url: str) -> AsyncIterator[Session]:
        session = await connect(amqp_url, "test")
        async with session.passing_channel("an older version") as channel:
            await channel.queue_declare(FAILED_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        yield session
        await session.close()

    async def test_it_is_kept(self, older: Session) -> None:
        await topology.declare(older)

        assert (await topology.queue_depths(older))[FAILED_QUEUE] == 0

    async def test_its_remedy_is_told_where_rabbitmq_would_drop_what_is_looked_at(
        self, older: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert older.server_version >= (3, 10)
        monkeypatch.setattr(Session, "server_version", (4, 0, 5))

        warning = await topology.warning_of_failed_queue(older)

        assert warning is not None
        assert "set_policy" in warning
        assert "1000000000" in warning


async def test_a_failed_queue_with_a_limit_of_its_own_needs_no_remedy(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "server_version", (4, 0, 5))

    assert await topology.warning_of_failed_queue(session) is None


async def test_depth_of_a_missing_queue_is_unknown_and_the_session_lives_on(amqp_url: str) -> None:
    session = await connect(amqp_url, "test")
    try:
        depths = await topology.queue_depths(session)

        assert depths == dict.fromkeys(QUEUES)
        assert session.alive
    finally:
        await session.close()


async def test_ready_depths_are_those_of_the_ready_queues(session: Session, publisher: Publisher) -> None:
    await publisher.publish_all(
        [Outgoing(body=b"{}", message_id=str(number), routing_key="jobs.low") for number in range(3)], 5
    )
    await publisher.publish(Outgoing(body=b"{}", message_id="failed", routing_key="jobs.failed"), 5)

    assert await topology.ready_depths(session) == {
        "taskqueue.jobs.high": 0,
        "taskqueue.jobs.normal": 0,
        "taskqueue.jobs.low": 3,
    }


async def test_ready_depths_leave_out_a_missing_queue_and_disturb_no_publish(publisher: Publisher) -> None:
    session = publisher.connection.session
    async with session.passing_channel("spoiling") as channel:
        await channel.queue_delete("taskqueue.jobs.high")

    depths = await topology.ready_depths(session)

    assert depths == {"taskqueue.jobs.normal": 0, "taskqueue.jobs.low": 0}
    assert session.alive
    await publisher.publish(Outgoing(body=b"{}", message_id="m", routing_key="jobs.low"), 5)


class TestLeastPrivilege:
    @pytest.fixture
    def limited_url(self, amqp_url: str, management: httpx.Client) -> str:
        parts, vhost = urlsplit(amqp_url), vhost_of(amqp_url)
        user = f"limited-{vhost}"
        nothing_to_configure = {"configure": "^$", "write": "^taskqueue$", "read": "^taskqueue"}
        with management:
            management.put(f"/api/users/{user}", json={"password": "s3cret", "tags": ""}).raise_for_status()
            management.put(f"/api/permissions/{vhost}/{user}", json=nothing_to_configure).raise_for_status()
        return f"amqp://{user}:s3cret@{parts.hostname}:{parts.port}/{vhost}"

    async def test_who_may_not_configure_passes_when_everything_exists(
        self, session: Session, limited_url: str
    ) -> None:
        limited = await connect(limited_url, "limited")
        try:
            await topology.declare(limited)
        finally:
            await limited.close()

    async def test_who_may_not_configure_is_told_what_is_missing(self, limited_url: str) -> None:
        limited = await connect(limited_url, "limited")
        try:
            with pytest.raises(TopologyError, match=r"queue taskqueue\.jobs\.failed: no queue"):
                await topology.declare(limited)
        finally:
            await limited.close()
