"""The rights that docs/redis.md asks for are enough for everything that taskqueue does, and for little else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.host_limit import HostReport
from taskqueue.core.occurrence import Progress
from taskqueue.core.task import Overlap
from taskqueue.core.token import Scope
from taskqueue.errors import DamagedKeyError, StoreError
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns, Move
from taskqueue.store.audit import AuditLog, Change
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.delayed import DelayedJob, DelayedStore
from taskqueue.store.due import DueEntry, Missing
from taskqueue.store.hosts import HostStore
from taskqueue.store.jobs import JobStore, Places, Switch
from taskqueue.store.lease import Lease
from taskqueue.store.limit_overrides import LimitOverrides
from taskqueue.store.limits import Limit, Limits, LimitStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.preferences import PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import TokenStore
from taskqueue.store.users import Switches
from tests.support.api_values import numbered_id
from tests.support.claims import FIRST, HEARTBEAT_TTL, KEPT, due_job, terms
from tests.support.values import TEN_O_CLOCK, a_record, a_task, an_occurrence

DOCUMENT = (Path(__file__).parents[3] / "docs" / "redis.md").read_text(encoding="utf-8")
PASSWORD = "of-this-test"


@pytest.fixture
async def limited(store: RedisStore, redis_settings: RedisSettings) -> AsyncIterator[RedisStore]:
    """A connection of a user with the documented rights."""
    documented = re.search(r"^    ACL SETUSER taskqueue (.*)$", DOCUMENT, re.MULTILINE)
    assert documented is not None
    rights = documented[1].replace("PASSWORD", PASSWORD).split()
    await store.command("ACL", "SETUSER", "taskqueue-test", "reset", *rights)
    as_user = {"username": "taskqueue-test", "password": SecretStr(PASSWORD)}
    limited = RedisStore(redis_settings.model_copy(update=as_user), client_name="taskqueue-test")
    yield limited
    await limited.close()
    await store.command("ACL", "DELUSER", "taskqueue-test")


async def test_they_are_enough_for_the_life_of_a_job(limited: RedisStore) -> None:
    jobs = JobStore(limited, Scripts(limited, asset_dir("lua")))
    job, record = due_job(), a_record(due_job())
    await jobs.beat(FIRST.incarnation, "{}", HEARTBEAT_TTL)
    ten = Limit(rate=10, burst=10)
    places = Places(most=1, kept=timedelta(minutes=1))
    limits = terms(switch=Switch.OPTIONAL, global_limit=ten, task_limit=ten, places=places)
    await LimitStore(limited, Scripts(limited, asset_dir("lua"))).write(Limits(global_=ten))
    await LimitOverrides(limited, Scripts(limited, asset_dir("lua"))).clear("global")
    hosts = HostStore(limited)
    report = HostReport(limit=1, in_flight=0, closed_until=None, since=0)
    await hosts.tell(FIRST.incarnation, {"http://a:80": report}, TEN_O_CLOCK)
    await hosts.tell(FIRST.incarnation, {}, TEN_O_CLOCK)
    await hosts.read(TEN_O_CLOCK)
    await jobs.admit(job, FIRST, limits)
    until = datetime.now(UTC) + timedelta(seconds=1)
    await jobs.postpone(job, FIRST, next_attempt=2, until=until, body=b"message", record=record, kept=KEPT)
    await jobs.finish(job, FIRST, record, called=True, kept=KEPT)
    await jobs.mark_failed(job.id)
    assert await jobs.execution(job.id)
    await jobs.last_beat(FIRST.incarnation)


async def test_they_are_enough_for_a_leader(limited: RedisStore) -> None:
    scripts = Scripts(limited, asset_dir("lua"))
    plan, delayed, catalog = PlanStore(limited, scripts), DelayedStore(limited, scripts), CatalogStore(limited, scripts)
    lease = Lease(limited, scripts, name="scheduler-1", ttl=timedelta(seconds=10))
    assert await lease.acquire()
    await lease.renew()
    await catalog.write(lease.token, {"daily_report": a_task()}, "r1")
    await catalog.read()
    occurrence, entry = an_occurrence(users=1), DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
    await plan.due.sync(lease.token, remove=[], keep=[(entry.member, "rule", entry.at)])
    await plan.due.hold(lease.token, entry)
    (held,) = await plan.due.held_until(entry.at, 10)
    await plan.due.look_again(lease.token)
    assert await plan.due.missing([entry.member]) == Missing(lost=(), ended=())
    assert (await plan.due.counts()).rules == 1
    await plan.begin(lease.token, held, None, occurrence, Overlap.SKIP)
    await plan.append(lease.token, occurrence, Progress(), ["u"], "u", last=True)
    await plan.open(lease.token, occurrence)
    _, progress = (await plan.read([occurrence.member]))[occurrence.member]
    assert len(await plan.read_slot(occurrence, progress, 10)) == 1
    await plan.trim_slot(lease.token, occurrence, progress, first_user="u", count=1)
    assert await plan.close(lease.token, occurrence.member)
    await plan.abandon(lease.token, occurrence, progress)
    await plan.add_trigger(an_occurrence(id="trigger"), ["u"], batch_size=1)
    await delayed.raise_lane_tail(lease.token, TEN_O_CLOCK, 1000)
    assert await delayed.due_until(TEN_O_CLOCK, 10) == []
    gone = DelayedJob(job_id="gone", due=TEN_O_CLOCK, body=None, generation=0, place=0)
    assert await delayed.move(lease.token, [gone], "global") == 0
    assert await delayed.remove(lease.token, [gone], "global") == 0
    assert await delayed.waiting_counts() == {}
    assert await delayed.running(["daily_report"]) == {"daily_report": 0}
    assert await LimitStore(limited, scripts).read() == Limits()
    runs = ApiRuns(limited, scripts)
    assert [piece async for piece in runs.listed()] == [[]]
    assert await runs.move(lease.token, [Move(task_id=numbered_id(1), at=TEN_O_CLOCK)]) == 0
    await DamagedKeys(scripts, lambda _event: None).set_aside(
        lease.token, DamagedKeyError(keys.API_DUE, "", member=b"\xff")
    )
    await lease.release()


async def test_they_are_enough_to_follow_the_users(limited: RedisStore) -> None:
    preferences = PreferenceStore(limited, Scripts(limited, asset_dir("lua")))
    assert [piece async for piece in preferences.scan()] == []
    assert await preferences.read([keys.user_tasks("u")]) == [Switches(user_id="u", exists=False)]
    async with aclosing(user_changes(limited)) as changes, asyncio.timeout(10):
        assert await anext(changes) == []
        await limited.command("HSET", keys.user_tasks("u"), "t", "1")
        assert await anext(changes) == [keys.user_tasks("u")]


async def test_they_are_enough_for_tokens_and_the_audit_log(limited: RedisStore) -> None:
    tokens, audit_log = TokenStore(limited, Scripts(limited, asset_dir("lua"))), AuditLog(limited)
    token_id = (await tokens.create(name="ci", scope=Scope.WRITE, now=TEN_O_CLOCK)).token.token_id
    await tokens.rotate(token_id, now=TEN_O_CLOCK, overlap=timedelta(hours=1))
    await tokens.note_use(token_id, TEN_O_CLOCK)
    await tokens.revoke(token_id, TEN_O_CLOCK)
    assert await tokens.any_exist()
    assert len(await tokens.all()) == 1
    await audit_log.append(Change(method="POST", route="/", ids={}, token_id=token_id, status=201, request_id="1"))
    assert len(await audit_log.read(limit=10)) == 1


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "KEYS *", "CONFIG GET dir", "GET other:key", "SET other:key 1", "ACL LIST", "SUBSCRIBE news", "INFO"],
)
async def test_they_allow_nothing_that_taskqueue_does_not_do(limited: RedisStore, command: str) -> None:
    with pytest.raises(StoreError, match="lacks a right"):
        await limited.command(*command.split())
