from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.task import Task
from taskqueue.dev.services import Redis as RedisService
from taskqueue.runtime import RestartDelay, Supervisor
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.audience_sync import AudienceSync, Changes
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from taskqueue.store.preferences import PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import MAX_SWITCHES
from taskqueue.telemetry.events import LoopFailed
from taskqueue.telemetry.scheduler_events import PreferenceIgnored
from tests.support.inbox import eventually
from tests.support.own_redis import own_redis_servers
from tests.support.scheduling import EventLog, task_of, task_type
from tests.support.slow_preferences import EndlessPreferenceStore, HeldPreferenceStore

REPORT = task_of(task_type("report"))
NEVER = timedelta(hours=10)

Start = Callable[..., AudienceSync]
Flush = Callable[[], Awaitable[None]]


async def mute() -> AsyncIterator[list[str] | None]:
    """A connection that hears nothing of any change."""
    yield []
    await asyncio.Event().wait()


@pytest.fixture
async def start(store: RedisStore, scripts: Scripts, index: AudienceIndex, events: EventLog) -> AsyncIterator[Start]:
    """Call it to have the index follow Redis."""
    supervisor = Supervisor(events, delay=RestartDelay(first_s=0.1, longest_s=0.2))

    def start(
        *,
        changes: Changes | None = None,
        preferences: PreferenceStore | None = None,
        reload_interval: timedelta = NEVER,
    ) -> AudienceSync:
        sync = AudienceSync(
            index,
            preferences or PreferenceStore(store, scripts),
            changes or (lambda: user_changes(store)),
            reload_interval=reload_interval,
            emit=events,
        )
        supervisor.start("audience", sync.run)
        return sync

    yield start
    await supervisor.stop()


@pytest.fixture
async def own_store() -> AsyncIterator[RedisStore]:
    """A Redis of the test's own, for what would disturb the databases of all others."""
    with own_redis_servers() as own:
        store = RedisStore(RedisSettings(addresses=(own.start()[1],)), client_name="test")
        yield store
        await store.close()


@pytest.fixture
def held(store: RedisStore, scripts: Scripts) -> HeldPreferenceStore:
    return HeldPreferenceStore(store, scripts)


@pytest.fixture
def endless(store: RedisStore, scripts: Scripts) -> EndlessPreferenceStore:
    return EndlessPreferenceStore(store, scripts)


@pytest.fixture
def flush_another(redis_server: RedisService, redis_db: int) -> Flush:
    """Call it to flush another database, one that is empty."""

    async def flush() -> None:
        host, _, port = redis_server.address.rpartition(":")
        for database in range(16):
            client = Redis(host=host, port=int(port), db=database, password=redis_server.password or None)
            try:
                if database != redis_db and await client.dbsize() == 0:
                    await client.flushdb()
                    return
            finally:
                await client.aclose()
        pytest.skip("every other database is in use")

    return flush


async def enable(redis: Redis, *users: str, task_id: str = "report", switch: str = "1") -> None:
    for user in users:
        await redis.hset(f"taskqueue:users:{user}:tasks", task_id, switch)


async def ready(sync: AudienceSync) -> None:
    async with asyncio.timeout(10):
        await sync.ready.wait()


async def audience_is(index: AudienceIndex, *users: str, of: Task = REPORT, within: float = 5) -> None:
    """Wait until exactly these users get the task; 5 s is how long a change may take."""

    async def found() -> bool:
        return {user for piece in index.enabled_users(of, "") for user in piece} == set(users)

    await eventually(found, within)


async def test_everybody_is_there_when_it_is_ready(redis: Redis, index: AudienceIndex, start: Start) -> None:
    users = [f"user-{number}" for number in range(1200)]
    await enable(redis, *users)

    await ready(start())

    assert index.count(REPORT) == 1200


async def test_it_is_not_ready_before_everything_is_read(
    redis: Redis, held: HeldPreferenceStore, index: AudienceIndex, start: Start
) -> None:
    held.hold()
    await enable(redis, "ann")
    sync = start(preferences=held)

    await held.has_read()
    assert not sync.ready.is_set()

    held.go_on()
    await ready(sync)
    assert index.count(REPORT) == 1


async def test_it_follows_switches_settings_and_deletions(redis: Redis, index: AudienceIndex, start: Start) -> None:
    await ready(start())

    await enable(redis, "ann", "bob", "Zoë: ü")
    await audience_is(index, "ann", "bob", "Zoë: ü")
    await redis.hset("taskqueue:users:ann:settings:report", "custom_interval", '{"type":"hourly"}')
    await audience_is(index, "bob", "Zoë: ü")
    await redis.hdel("taskqueue:users:ann:settings:report", "custom_interval")
    await enable(redis, "bob", switch="0")
    await audience_is(index, "ann", "Zoë: ü")
    await redis.delete("taskqueue:users:ann:tasks")
    await audience_is(index, "Zoë: ü")


@pytest.mark.parametrize(
    "commands",
    [
        [["HINCRBY", "{new}", "report", "1"]],
        [["RENAME", "{old}", "{new}"]],
        [["COPY", "{old}", "{new}"], ["UNLINK", "{old}"]],
        [["MULTI"], ["HSET", "{new}", "report", "1"], ["HDEL", "{old}", "report"], ["EXEC"]],
        [["EVAL", "redis.call('HSET', KEYS[1], 'report', '1')", "1", "{new}"], ["PEXPIRE", "{old}", "50"]],
        [["HSET", "{new}", "report", "1"], ["SET", "{old}", "no hash"]],
    ],
    ids=lambda commands: " ".join(command[0] for command in commands),
)
async def test_it_follows_however_others_write(
    redis: Redis, index: AudienceIndex, start: Start, commands: list[list[str]]
) -> None:
    await enable(redis, "old")
    await ready(start())
    keys = {"old": "taskqueue:users:old:tasks", "new": "taskqueue:users:new:tasks"}

    async with redis.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*(word.format(**keys) if word.startswith("{") else word for word in command))
        await pipeline.execute()

    await audience_is(index, *({"old", "new"} if commands[0][0] == "HINCRBY" else {"new"}))


async def test_it_follows_a_key_that_is_restored(redis: Redis, index: AudienceIndex, start: Start) -> None:
    await enable(redis, "ann")
    await ready(start())

    dumped = await redis.eval(
        "return redis.call('RESTORE', KEYS[2], 0, redis.call('DUMP', KEYS[1]))",
        2,
        *(f"taskqueue:users:{user}:tasks" for user in ("ann", "bob")),
    )

    assert dumped == "OK"
    await audience_is(index, "ann", "bob")


async def test_an_interval_that_is_none_is_told_with_its_user(redis: Redis, start: Start, events: EventLog) -> None:
    await ready(start())

    await redis.hset("taskqueue:users:ann:settings:report", "custom_interval", "often")

    told = await events.wait_for(PreferenceIgnored)
    assert (told.user_id, "custom_interval" in told.error, "report" in told.error) == ("ann", True, True)


async def test_a_user_with_more_switches_than_can_be_is_told_and_gets_nothing_until_that_is_mended(
    redis: Redis, index: AudienceIndex, start: Start, events: EventLog
) -> None:
    await enable(redis, "ann", "bob")
    await ready(start())

    await redis.hset("taskqueue:users:ann:tasks", mapping={f"task-{number}": "1" for number in range(MAX_SWITCHES)})

    told = await events.wait_for(PreferenceIgnored)
    assert (told.user_id, f"{MAX_SWITCHES + 1} fields" in told.error) == ("ann", True)
    await audience_is(index, "bob")
    await redis.hdel("taskqueue:users:ann:tasks", "task-0")
    await audience_is(index, "ann", "bob")


async def test_flushing_redis_empties_the_index(redis: Redis, index: AudienceIndex, start: Start) -> None:
    await enable(redis, "ann", "bob")
    await redis.hset("taskqueue:users:ann:settings:report", "custom_interval", '{"type":"hourly"}')
    await ready(start())

    await redis.flushdb()

    await audience_is(index)
    assert (len(index), dict(index.cohorts("report"))) == (0, {})


async def test_flushing_another_database_leaves_nobody_out_at_any_time(
    redis: Redis, held: HeldPreferenceStore, flush_another: Flush, index: AudienceIndex, start: Start
) -> None:
    await enable(redis, "ann")
    await ready(start(preferences=held))
    held.hold()

    await flush_another()

    await held.has_read()
    assert index.count(REPORT) == 1
    held.go_on()


async def test_it_is_in_doubt_who_is_left_for_a_while_after_everybody_was_read_again_after_a_flush(
    redis: Redis, held: HeldPreferenceStore, index: AudienceIndex, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.scheduler.audience_sync.WRITTEN_BACK_WITHIN_S", 0.5)
    await enable(redis, "ann")
    await ready(start(preferences=held))
    assert not index.in_doubt
    held.hold()

    await redis.flushdb()

    await held.has_read()
    assert index.in_doubt
    held.go_on()
    await eventually(lambda: _is_sure(index))
    assert index.count(REPORT) == 0


async def _is_sure(index: AudienceIndex) -> bool:
    return not index.in_doubt


async def test_a_lost_connection_is_made_up_for(
    redis: Redis, index: AudienceIndex, start: Start, events: EventLog
) -> None:
    await enable(redis, "ann", "bob")
    await redis.hset("taskqueue:users:cleo:settings:report", "custom_interval", '{"type":"hourly"}')
    await ready(start())

    async with redis.pipeline(transaction=True) as pipeline:
        # In one step with the loss, so that no message of the changes can have come.
        pipeline.client_kill_filter(_type="pubsub")
        pipeline.hset("taskqueue:users:dan:tasks", "report", "1")
        pipeline.delete("taskqueue:users:ann:tasks", "taskqueue:users:cleo:settings:report")
        await pipeline.execute()

    await events.wait_for(LoopFailed)
    await audience_is(index, "bob", "dan", within=10)
    assert dict(index.cohorts("report")) == {}


async def test_databases_that_were_swapped_are_read_at_once_when_the_connection_is_killed(
    own_store: RedisStore, index: AudienceIndex, start: Start
) -> None:
    preferences = PreferenceStore(own_store, Scripts(own_store, asset_dir("lua")))
    for user in ("ann", "bob"):
        await own_store.command("HSET", f"taskqueue:users:{user}:tasks", "report", "1")
    await own_store.command("MOVE", "taskqueue:users:bob:tasks", 1)
    await ready(start(changes=lambda: user_changes(own_store), preferences=preferences))
    assert index.count(REPORT) == 1

    await own_store.command("SWAPDB", 0, 1)
    await own_store.command("CLIENT", "KILL", "TYPE", "pubsub")

    await audience_is(index, "bob", within=10)


async def test_a_change_nobody_heard_of_is_found_within_the_reload_interval(
    redis: Redis, index: AudienceIndex, start: Start
) -> None:
    await enable(redis, "ann", "bob")
    await ready(start(changes=mute, reload_interval=timedelta(seconds=1)))

    await enable(redis, "cleo")
    await redis.delete("taskqueue:users:ann:tasks")

    await audience_is(index, "bob", "cleo")


async def test_a_reload_is_no_slower_for_the_keys_of_others_in_between(
    redis: Redis, index: AudienceIndex, start: Start
) -> None:
    # Redis finds few users per look then: the pace follows the users, not the looks.
    await redis.mset({f"taskqueue:claim:{number}": "x" for number in range(20_000)})
    await enable(redis, *(f"user-{number}" for number in range(40)))
    await ready(start(changes=mute, reload_interval=timedelta(seconds=1)))

    await enable(redis, *(f"user-{number}" for number in range(40, 80)))

    await audience_is(index, *(f"user-{number}" for number in range(80)))


async def test_a_reload_keeps_its_time_when_the_audience_has_grown_since_the_one_before(
    redis: Redis, index: AudienceIndex, start: Start
) -> None:
    heard = asyncio.Queue[list[str]]()

    async def changes() -> AsyncIterator[list[str] | None]:
        yield []
        while True:
            yield await heard.get()

    await enable(redis, "ann")
    await ready(start(changes=changes, reload_interval=timedelta(seconds=1)))
    crowd = [f"user-{number}" for number in range(600)]
    await enable(redis, *crowd)
    await heard.put([f"taskqueue:users:{user}:tasks" for user in crowd])
    await audience_is(index, "ann", *crowd)

    await redis.delete("taskqueue:users:ann:tasks")  # unheard

    await audience_is(index, *crowd)


async def test_a_change_counts_while_everything_is_read_again_after_a_flush(
    redis: Redis, endless: EndlessPreferenceStore, flush_another: Flush, index: AudienceIndex, start: Start
) -> None:
    await enable(redis, "ann")
    await ready(start(preferences=endless))
    await flush_another()
    async with asyncio.timeout(10):
        await endless.scanning.wait()

    await enable(redis, "bob")

    await audience_is(index, "ann", "bob")


async def test_its_health_says_how_long_ago_everything_was_read(
    redis: Redis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enable(redis, "ann")
    sync = start()
    before = sync.health()
    await ready(sync)
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 90)

    after = sync.health()

    monkeypatch.undo()
    assert before == {"users": 0, "complete": False, "age": None}
    assert after in ({"users": 1, "complete": True, "age": age} for age in (89, 90))


async def test_an_answer_from_before_a_change_never_wins(
    redis: Redis, held: HeldPreferenceStore, index: AudienceIndex, start: Start
) -> None:
    await enable(redis, "ann")
    await ready(start(preferences=held, reload_interval=timedelta(seconds=1)))
    held.hold()
    await held.has_read()  # the reload holds an answer that says: ann is on

    await enable(redis, "ann", switch="0")
    overtaken = await held.was_overtaken(within=1)
    held.go_on()

    await audience_is(index)
    assert not overtaken
