"""A heartbeat that is missing: its worker is gone only where it could have beaten for as long as a heartbeat lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.codec import encode_message
from taskqueue.core.failures import read_failure
from taskqueue.core.instants import rfc3339
from taskqueue.errors import DamagedKeyError, StoreError
from taskqueue.store import keys
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.fleet import FleetKind, Presence
from taskqueue.store.jobs import JobStore, Places, Verdict
from taskqueue.store.replays import ReplayOutcome, Replays
from taskqueue.store.scripts import Scripts
from taskqueue.store.sightings import see_job
from tests.support.claims import FIRST, HEARTBEAT_TTL, OTHER, due_job, terms, watched_for, worker_lives
from tests.support.own_redis import OwnRedis
from tests.support.values import a_message

JOB = due_job(id=a_message().job.id)
ALLOWED = terms(places=Places(most=1, kept=timedelta(hours=1)))

Beat = Callable[[FleetKind], Awaitable[None]]


class Judges:
    """Each answers whether the worker of JOB, which has a claim and a place, is taken for one that lives."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._jobs = JobStore(store, scripts)
        self._delayed = DelayedStore(store, scripts)
        self._cancellations = Cancellations(store, scripts)
        self._replays = Replays(scripts)

    async def claim(self) -> bool:
        """A worker that gets a copy of the job."""
        return (await self._jobs.admit(JOB, OTHER, terms())).verdict is Verdict.PARK

    async def place(self) -> bool:
        """A worker that gets another job of the task."""
        return (await self._jobs.admit(due_job(id="another"), OTHER, ALLOWED)).word == "concurrency"

    async def leader(self) -> bool:
        """The leader, before it releases another job of the task."""
        return await self._delayed.running([JOB.task_type_id]) == {JOB.task_type_id: 1}

    async def cancelling(self) -> bool:
        """Whoever cancels the job."""
        return (await self._cancellations.cancel(JOB.id)).outcome is CancelOutcome.RUNNING

    async def replay(self) -> bool:
        """Whoever replays an older failure of the job."""
        headers = {"taskqueue-failed-at": rfc3339(datetime.now(UTC)), "taskqueue-attempts": 3}
        failure = read_failure(encode_message(a_message(attempt=3)), None, headers)
        return (await self._replays.replay(failure, datetime.now(UTC))).outcome is ReplayOutcome.RUNNING


EACH_JUDGE = pytest.mark.parametrize("judge", ["claim", "place", "leader", "cancelling", "replay"])


@pytest.fixture
async def judges(jobs: JobStore, store: RedisStore, scripts: Scripts) -> Judges:
    """Those who judge the worker FIRST, whose heartbeat has lapsed."""
    assert (await jobs.admit(JOB, FIRST, ALLOWED)).verdict is Verdict.RUN
    await store.command("DEL", keys.worker(FIRST.incarnation))
    return Judges(store, scripts)


async def lives(judges: Judges, judge: str) -> bool:
    return bool(await getattr(judges, judge)())


@pytest.fixture
def beat(store: RedisStore, scripts: Scripts) -> Beat:
    """Lets a process of that kind show that it lives."""

    async def beat(kind: FleetKind) -> None:
        await Presence(store, scripts, kind, f"{kind}-1:aa", dict).beat()

    return beat


async def since(store: RedisStore) -> int:
    return int(await store.command("GET", keys.FLEET_WATCHED))


# --- who is gone ------------------------------------------------------------------------------------------------------


@EACH_JUDGE
async def test_a_worker_is_gone_that_could_have_beaten_for_as_long_as_a_heartbeat_lives(
    judges: Judges, store: RedisStore, judge: str
) -> None:
    await watched_for(store, HEARTBEAT_TTL)
    assert not await lives(judges, judge)


@EACH_JUDGE
async def test_nobody_is_gone_as_long_as_nobody_has_beaten_since_redis_was_away(judges: Judges, judge: str) -> None:
    assert await lives(judges, judge)


@EACH_JUDGE
async def test_nobody_is_gone_just_after_redis_was_away(judges: Judges, store: RedisStore, judge: str) -> None:
    await watched_for(store, HEARTBEAT_TTL - timedelta(seconds=5))
    assert await lives(judges, judge)


@EACH_JUDGE
async def test_a_worker_that_has_said_good_bye_is_gone_at_once_also_after_redis_was_away(
    judges: Judges, jobs: JobStore, judge: str
) -> None:
    await jobs.last_beat(FIRST.incarnation)
    assert not await lives(judges, judge)


@EACH_JUDGE
async def test_a_worker_that_beats_lives_however_long_redis_was_there(
    judges: Judges, jobs: JobStore, store: RedisStore, judge: str
) -> None:
    await watched_for(store, timedelta(days=1))
    await worker_lives(jobs, FIRST)
    assert await lives(judges, judge)


@EACH_JUDGE
@pytest.mark.parametrize("strange", ["text", "1e400", "nan", ""])
async def test_nobody_is_gone_by_what_makes_no_sense(
    judges: Judges, store: RedisStore, judge: str, strange: str
) -> None:
    await store.command("SET", keys.FLEET_WATCHED, strange)
    assert await lives(judges, judge)


async def test_people_are_shown_that_a_worker_has_left(judges: Judges, jobs: JobStore, store: RedisStore) -> None:
    await worker_lives(jobs, FIRST)
    assert (await see_job(store, JOB.id)).worker_lives
    await jobs.last_beat(FIRST.incarnation)
    assert not (await see_job(store, JOB.id)).worker_lives


async def test_what_a_worker_that_has_left_says_does_not_stay(jobs: JobStore, store: RedisStore) -> None:
    await jobs.last_beat(FIRST.incarnation)
    assert 0 < await store.command("PTTL", keys.worker(FIRST.incarnation)) <= HEARTBEAT_TTL // timedelta(milliseconds=1)


# --- since when -------------------------------------------------------------------------------------------------------


async def test_whoever_beats_first_notes_since_when(store: RedisStore, beat: Beat) -> None:
    await beat(FleetKind.SCHEDULER)
    seconds, _ = await store.command("TIME")
    assert abs(await since(store) / 1000 - int(seconds)) < 5


@pytest.mark.parametrize("kind", FleetKind)
async def test_as_long_as_anybody_beats_it_stays(store: RedisStore, beat: Beat, kind: FleetKind) -> None:
    await watched_for(store, timedelta(hours=1))
    noted = await since(store)
    await beat(kind)
    assert await since(store) == noted


async def test_it_ends_before_the_first_heartbeat_that_a_silence_of_redis_can_end(
    store: RedisStore, beat: Beat
) -> None:
    for _ in range(2):
        await beat(FleetKind.WORKER)
        left = timedelta(milliseconds=await store.command("PTTL", keys.FLEET_WATCHED))
        assert timedelta(seconds=4) < left < HEARTBEAT_TTL * 3 / 4 - timedelta(seconds=3)


async def test_a_redis_that_takes_no_heartbeats_for_want_of_memory_lets_it_end(own_redis: OwnRedis) -> None:
    _, address = own_redis.start()
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="test")
    presence = Presence(store, Scripts(store, asset_dir("lua")), "worker", "worker-1:aa", dict)
    await presence.beat()
    await store.command("PEXPIRE", keys.FLEET_WATCHED, 1000)
    await store.command("CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(StoreError, match="maxmemory"):
        await presence.beat()

    assert int(await store.command("PTTL", keys.FLEET_WATCHED)) <= 1000
    await store.close()


async def test_it_begins_anew_when_the_clock_was_set_back(store: RedisStore, beat: Beat, judges: Judges) -> None:
    await watched_for(store, -timedelta(hours=1))
    assert await judges.claim()
    await beat(FleetKind.WORKER)
    seconds, _ = await store.command("TIME")
    assert await since(store) / 1000 < int(seconds) + 5


@pytest.mark.parametrize("damage", [("SET", "text"), ("SET", "nan"), ("RPUSH", "1")], ids=lambda damage: damage[0])
async def test_it_begins_anew_where_it_makes_no_sense(store: RedisStore, beat: Beat, damage: tuple[str, str]) -> None:
    command, value = damage
    await store.command(command, keys.FLEET_WATCHED, value)
    await beat(FleetKind.WORKER)
    assert await since(store) > 0
    assert await store.command("PTTL", keys.FLEET_WATCHED) > 0


async def test_a_damaged_list_of_processes_does_not_make_dead_workers_live(store: RedisStore, beat: Beat) -> None:
    await store.command("SET", keys.fleet(FleetKind.WORKER), "a text")
    with pytest.raises(DamagedKeyError):
        await beat(FleetKind.WORKER)
    assert await since(store) > 0


@EACH_JUDGE
async def test_a_key_of_another_type_takes_no_worker_for_gone(judges: Judges, store: RedisStore, judge: str) -> None:
    await store.command("RPUSH", keys.FLEET_WATCHED, "1")
    assert await lives(judges, judge)
