"""One task for ten thousand users: planned, or put into RabbitMQ, beside a `.delay()` or an `add_job` for each."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

from counter import Counter
from due_work import TASK, desk
from peers import Peers
from report import Goal, Measure, Report
from stage import Stage

from taskqueue.broker.names import routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import declare
from taskqueue.core.task import Priority
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store.users import Switches

USERS = 10_000

#: Celery takes a second for a thousand
_CELERY_USERS = 2_000

#: as long as the message of a job without parameters
_BODY = b"x" * 450

_PLAN = "taskqueue, plan into slot lists"
_PUBLISH = "taskqueue, publish with confirms, quorum queue"
_DELAY = "Celery .delay() with confirms, quorum queue"
_ADD = "APScheduler 3 add_job, in memory"


async def measure(place: Stage, report: Report, counter: Counter, peers: Peers) -> None:
    """Add users per second of each side."""
    report.part(f"fan-out of one task to {USERS:,} users")
    publisher = Publisher([place.amqp_url], name="benchmark", prepare=declare)
    await publisher.start()
    await publisher.wait_ready(30)
    sides = {_PLAN: await _planning(place), _PUBLISH: _publishing(publisher)}
    if peers.available:
        sides[_DELAY] = _asked(peers, "celery_delay", _CELERY_USERS)
        sides[_ADD] = _asked(peers, "aps_add", USERS)
    found = await report.compare("users/s", sides)
    await publisher.stop(5)
    if peers.available:
        goal = Goal(bound=8, at_least=True)
        report.figure("publish with confirms against Celery .delay()", found[_PUBLISH] / found[_DELAY], "ratio", goal)
        both = 1 / (1 / found[_PLAN] + 1 / found[_PUBLISH])
        report.figure("plan and publish against Celery .delay()", both / found[_DELAY], "ratio")
        report.figure("plan against APScheduler add_job", found[_PLAN] / found[_ADD], "ratio")
    counter.forget()
    await place.end_all()


async def _planning(place: Stage) -> Measure:
    index = AudienceIndex()
    for number in range(USERS):
        index.apply(Switches(user_id=f"user_{number:07d}", on=frozenset({TASK})))
    at = await desk(place, index, {"type": "hourly"}, 1800)
    await at.tick()

    async def plan() -> float:
        at.planned.clear()
        at.clock.now += timedelta(hours=1)
        began = time.perf_counter()
        await at.tick()
        rate = USERS / (time.perf_counter() - began)
        if [each.users for each in at.planned] != [USERS]:
            raise SystemExit(f"{len(at.planned)} occurrences planned instead of one of {USERS} users")
        return rate

    return plan


def _publishing(publisher: Publisher) -> Measure:
    key = routing_key(Priority.NORMAL)

    async def publish() -> float:
        messages = [Outgoing(body=_BODY, message_id=str(uuid4()), routing_key=key) for _ in range(USERS)]
        began = time.perf_counter()
        results = await publisher.publish_all(messages, 60)
        rate = USERS / (time.perf_counter() - began)
        if any(error is not None for error in results):
            raise SystemExit("RabbitMQ did not confirm every message")
        return rate

    return publish


def _asked(peers: Peers, question: str, users: int) -> Measure:
    async def ask() -> float:
        return float(await peers.ask(question, users=users))

    return ask
