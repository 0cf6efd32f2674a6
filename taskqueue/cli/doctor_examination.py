"""All checks of `taskqueue doctor`: both services at once, each one's failure a finding and no end to the other's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from taskqueue.broker.connection import connect_any, endpoint
from taskqueue.broker.examination import examine_broker
from taskqueue.broker.names import FAILED_QUEUE, READY_QUEUES
from taskqueue.broker.topology import BINDINGS, DELIVERY_LIMIT, FAILED_DELIVERY_LIMIT, LONGEST_DELAY
from taskqueue.cli.doctor_management import ask_management, management_place
from taskqueue.cli.doctor_rabbitmqctl import ask_rabbitmqctl
from taskqueue.cli.doctor_store import STORE_CHECKS, StoreDoctor, StoreOutcome, longest_call
from taskqueue.cli.doctor_subject import Clockwork, Subject
from taskqueue.config.sections import ExecutionSettings
from taskqueue.core import doctor_broker as judging
from taskqueue.core import doctor_consumers as consuming
from taskqueue.core.doctor import CHECKS, Finding, Severity, fail, in_order, ok, skipped
from taskqueue.core.doctor_broker import BrokerFacts, ManagementFacts
from taskqueue.core.doctor_consumers import ConsumerTimeout
from taskqueue.core.task import Task
from taskqueue.errors import BrokerError, StoreError, UnreachableError
from taskqueue.store.connection import RedisStore
from taskqueue.store.examination import lane_tail

#: seconds, for all nodes of a cluster together
_CONNECT_WITHIN: Final = 6.0

#: a connection may be lost by chance; one that is lost again is a finding
_SESSIONS: Final = 2

#: what is looked at in RabbitMQ
BROKER_CHECKS: Final = tuple(check.id for check in CHECKS if check.id.startswith("rabbitmq-"))

#: those that the management API has a part in
_OF_MANAGEMENT: Final = (
    "rabbitmq-management",
    "rabbitmq-version",
    "rabbitmq-alarms",
    "rabbitmq-bindings",
    "rabbitmq-policies",
    "rabbitmq-lane",
    "rabbitmq-consumer-timeout",
)

#: what others rest on: where one of these fails, that is told though only others were asked for
_GROUND: Final = frozenset({"rabbitmq-reachable", "rabbitmq-management", "redis-reachable"})

_WANTED_BINDINGS: Final = frozenset((each.exchange, each.queue, each.routing_key) for each in BINDINGS)
_DELIVERY_LIMITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(READY_QUEUES, DELIVERY_LIMIT),
    FAILED_QUEUE: FAILED_DELIVERY_LIMIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The findings in their order; `anything_reachable`: one of the services that were asked answered."""

    findings: list[Finding]
    anything_reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broker:
    """What RabbitMQ told; `problem` where it could not be used."""

    place: str
    facts: BrokerFacts | None = None
    problem: str = ""
    management: ManagementFacts | None = None
    management_problem: str = ""
    consumer_timeout: ConsumerTimeout


async def examine(subject: Subject) -> Examination:
    """Make the checks that are wanted. Raises ConfigError for URLs that are none."""
    if subject.management is not None:
        management_place(subject.management)
    clockwork = Clockwork(subject)
    store = RedisStore(subject.redis, client_name="taskqueue-doctor")
    try:
        async with asyncio.TaskGroup() as both:
            asking = both.create_task(_ask_broker(subject, clockwork))
            storing = both.create_task(_ask_store(subject, store, clockwork))
        broker, stored = asking.result(), storing.result()
        overdue = await _overdue(store, broker, clockwork)
    finally:
        await store.close()
    findings = [] if stored is None else stored.findings
    if broker is not None:
        tasks = {} if stored is None else stored.tasks
        findings = [*findings, *_judge_broker(broker, subject, tasks, overdue)]
    reachable = [broker is not None and broker.facts is not None, stored is not None and stored.reachable]
    shown = [finding for finding in findings if finding.check in subject.wanted or _undermines(finding)]
    return Examination(findings=in_order(shown), anything_reachable=any(reachable))


def _undermines(finding: Finding) -> bool:
    return finding.check in _GROUND and finding.severity is Severity.FAIL


async def _ask_store(subject: Subject, store: RedisStore, clockwork: Clockwork) -> StoreOutcome | None:
    # How long calls may take, which consumer_timeout is held against, stands in Redis.
    if not subject.wants(*STORE_CHECKS, "rabbitmq-consumer-timeout"):
        return None
    return await StoreDoctor(subject, store, clockwork).examine()


async def _ask_broker(subject: Subject, clockwork: Clockwork) -> _Broker | None:
    if not subject.wants(*BROKER_CHECKS):
        return None
    place = ", ".join(endpoint(url) for url in subject.amqp_urls)
    async with asyncio.TaskGroup() as group:
        broker = group.create_task(_session_facts(subject, clockwork))
        management = group.create_task(_management_facts(subject))
        timeout = group.create_task(_consumer_timeout(subject))
    facts, problem = broker.result()
    shown, refusal = management.result()
    return _Broker(
        place=place,
        facts=facts,
        problem=problem,
        management=shown,
        management_problem=refusal,
        consumer_timeout=timeout.result(),
    )


async def _session_facts(subject: Subject, clockwork: Clockwork) -> tuple[BrokerFacts | None, str]:
    """Return the facts, or why there are none."""
    problem = ""
    for _ in range(_SESSIONS):
        try:
            async with asyncio.timeout_at(clockwork.deadline), asyncio.timeout(_CONNECT_WITHIN):
                session = await connect_any(subject.amqp_urls, "taskqueue doctor")
        except TimeoutError:
            return None, f"no answer within {_CONNECT_WITHIN:g} s"
        except BrokerError as error:
            return None, str(error)
        try:
            async with asyncio.timeout_at(clockwork.deadline):
                return await examine_broker(session, canary_within_s=subject.canary_within.total_seconds()), ""
        except TimeoutError:
            return None, "it lets us in, and then does not answer in time"
        except BrokerError as error:
            problem = str(error)
        finally:
            await session.close()
    return None, problem


async def _management_facts(subject: Subject) -> tuple[ManagementFacts | None, str]:
    if subject.management is None or not subject.wants(*_OF_MANAGEMENT):
        return None, ""
    try:
        return await ask_management(subject.management, subject.amqp_urls[0]), ""
    except UnreachableError as error:
        return None, str(error)


async def _consumer_timeout(subject: Subject) -> ConsumerTimeout:
    if subject.rabbitmqctl is None or not subject.wants("rabbitmq-consumer-timeout"):
        return ConsumerTimeout(problem="neither AMQP nor the management API tells it")
    return await ask_rabbitmqctl(subject.rabbitmqctl)


async def _overdue(store: RedisStore, broker: _Broker | None, clockwork: Clockwork) -> timedelta | None:
    """Return for how long the last job in the delayed queue had been due when that was looked at; None unknown."""
    if broker is None or broker.facts is None or not broker.facts.in_lane:
        return None
    try:
        async with asyncio.timeout_at(clockwork.deadline):
            told = await lane_tail(store)
    except (StoreError, TimeoutError):
        return None
    if told is None:
        return None
    now, tail = told
    since_s = asyncio.get_running_loop().time() - broker.facts.depths_at_s
    return timedelta(seconds=now - since_s - tail)


def _judge_broker(
    broker: _Broker, subject: Subject, tasks: Mapping[str, Task], overdue: timedelta | None
) -> Iterator[Finding]:
    facts, management = broker.facts, broker.management
    longest, task = longest_call(tasks, subject.call_timeout or ExecutionSettings().timeout)
    yield consuming.judge_consumer_timeout(broker.consumer_timeout, longest, task, broker.place)
    yield from consuming.judge_timeout_policies(management, READY_QUEUES, longest, task)
    yield _judge_management(broker)
    if facts is None:
        yield fail("rabbitmq-reachable", broker.place, broker.problem)
        told = {"rabbitmq-reachable", "rabbitmq-management", "rabbitmq-consumer-timeout"}
        for check in BROKER_CHECKS:
            if check not in told:
                yield skipped(check, broker.place, "RabbitMQ cannot be used")
        return
    yield ok("rabbitmq-reachable", facts.place, "lets us in")
    yield judging.judge_version(facts, management)
    yield from judging.judge_alarms(facts, management)
    yield from judging.judge_permissions(facts)
    yield from judging.judge_queues(facts)
    yield from judging.judge_bindings(management, _WANTED_BINDINGS, facts)
    yield from judging.judge_policies(
        management, longest_delay=LONGEST_DELAY, delivery_limits=_DELIVERY_LIMITS, facts=facts
    )
    yield judging.judge_dead_lettering(facts, overdue)
    yield judging.judge_lane(facts, management, overdue)
    yield from consuming.judge_consumers(facts)
    yield judging.judge_failed_jobs(facts)


def _judge_management(broker: _Broker) -> Finding:
    check = "rabbitmq-management"
    if broker.management is not None:
        return ok(check, broker.management.place, "answers")
    if broker.management_problem:
        return fail(check, *broker.management_problem.split(": ", 1))
    return skipped(check, broker.place, "its address is not known here", "--management http://HOST:15672")
