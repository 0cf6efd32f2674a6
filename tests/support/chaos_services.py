"""What happens to Redis, RabbitMQ and the endpoint."""

from __future__ import annotations

import asyncio
import json
import random
import time

from tests.support.chaos_model import Limited
from tests.support.chaos_system import ChaosSystem
from tests.support.rabbitmq_control import rabbitmqctl, set_memory_alarm

#: seconds between the end of an outage and the next: a worker is silent for too long after two in a row
_REST_S = 2.0

#: keys that can be made again from others
_DERIVED = (
    "taskqueue:due",
    "taskqueue:due:rules",
    "taskqueue:lane_tail",
    "taskqueue:catalog",
    "taskqueue:catalog:revision",
    "taskqueue:limits",
    "taskqueue:hosts",
    "taskqueue:ratelimit:task:own",
    "taskqueue:distribution:lock",
)


async def restart_redis(chaos: ChaosSystem, chance: random.Random) -> None:
    """Kill Redis, or end it; it writes each command to its file before it answers."""
    async with chaos.store_lock, chaos.trouble(chaos.model.stores):
        chaos.note("ends redis")
        await asyncio.to_thread(chance.choice([chaos.redis_server.kill, chaos.redis_server.stop]))
        await asyncio.sleep(chaos.a_while(chance, 4))
        await asyncio.to_thread(chaos.redis_server.start)
        chaos.note("redis is back")
        await asyncio.sleep(_REST_S)


async def trouble_redis(chaos: ChaosSystem, chance: random.Random) -> None:
    """Let Redis be full, a replica of nobody, or silent for a while."""
    broken, mended = chance.choice(
        [
            ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
            ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
            ("CLIENT PAUSE 2000 ALL", "PING"),
            ("CLIENT PAUSE 2000 WRITE", "PING"),
        ]
    )
    async with chaos.store_lock, chaos.trouble(chaos.model.stores):
        chaos.note(f"redis: {broken}")
        await chaos.insist(lambda: chaos.redis.execute_command(*broken.split()))
        await asyncio.sleep(chaos.a_while(chance, 5))
        await chaos.insist(lambda: chaos.redis.execute_command(*mended.split()))
        chaos.note(f"redis: {mended}")
        await asyncio.sleep(_REST_S)


async def kill_clients(chaos: ChaosSystem, chance: random.Random) -> None:
    """Close the connections of Redis, or those that follow the users' changes."""
    kind = chance.choice(["normal", "pubsub"])
    async with chaos.trouble(chaos.model.stores):
        chaos.note(f"closes connections of redis: {kind}")
        await chaos.insist(lambda: chaos.redis.execute_command("CLIENT", "KILL", "TYPE", kind))


async def flush_scripts(chaos: ChaosSystem, _chance: random.Random) -> None:
    """Let Redis forget all scripts."""
    chaos.note("flushes scripts")
    await chaos.insist(chaos.redis.script_flush)


async def lose_derived(chaos: ChaosSystem, chance: random.Random) -> None:
    """Delete a key that can be made again, or half of the due work."""
    key = chance.choice([*_DERIVED, "half of taskqueue:due"])
    chaos.note(f"loses {key}")
    if key in _DERIVED:
        async with chaos.catalog_lock:
            await chaos.insist(lambda: chaos.redis.delete(key))
        return
    members = await chaos.insist(lambda: chaos.redis.zrange("taskqueue:due", 0, -1))
    lost = [*chance.sample(members, len(members) // 2), b"nobody"]
    await chaos.insist(lambda: chaos.redis.zrem("taskqueue:due", *lost))


async def set_limit(chaos: ChaosSystem, chance: random.Random) -> None:
    """Set a limit for a while, at times one that lets nothing start."""
    name, rate = chance.choice([("global", 20), ("task:own", 1), ("task:often", 5), ("task:crowd", 0)])
    since = time.time()
    until = since + 3 + chaos.a_while(chance, 5)
    said = json.dumps({"rate": rate, "burst": max(rate, 1), "until": int(until * 1000)})
    await chaos.insist(lambda: chaos.redis.hset("taskqueue:limits:overrides", name, said))
    chaos.model.limited.append(Limited(name=name, since=since, at=time.time(), until=until, rate=rate))
    chaos.note(f"limits {name} to {rate} for {until - since:.1f} s")


async def restart_rabbitmq(chaos: ChaosSystem, chance: random.Random) -> None:
    """Kill RabbitMQ, or end it."""
    async with chaos.broker_lock:
        chaos.note("ends rabbitmq")
        await asyncio.to_thread(chance.choice([chaos.rabbitmq.kill, chaos.rabbitmq.stop]))
        await asyncio.to_thread(chaos.rabbitmq.start)
        chaos.note("rabbitmq is back")


async def alarm_rabbitmq(chaos: ChaosSystem, chance: random.Random) -> None:
    """Let RabbitMQ be short of memory for a while."""
    async with chaos.broker_lock:
        await set_memory_alarm(chaos.rabbitmq, on=True)
        chaos.note("rabbitmq has an alarm")
        try:
            await asyncio.sleep(chaos.a_while(chance, 5))
        finally:
            await set_memory_alarm(chaos.rabbitmq, on=False)
        chaos.note("rabbitmq has none")


async def close_connections(chaos: ChaosSystem, _chance: random.Random) -> None:
    """Close every connection of RabbitMQ, as an operator may."""
    async with chaos.broker_lock:
        chaos.note("closes connections of rabbitmq")
        await rabbitmqctl(chaos.rabbitmq, "close_all_connections", "chaos")


async def break_endpoint(chaos: ChaosSystem, chance: random.Random) -> None:
    """Let the endpoint answer with errors, slowly or not at all for a while."""
    path = chance.choice(["/status/500", "/status/503", "/status/429?retry_after=2", "/slow/800", "/reset"])
    async with chaos.target_lock:
        chaos.note(f"endpoint: {path}")
        for user in chaos.users:
            chaos.system.target.set_user_rule(user, path)
        await asyncio.sleep(chaos.a_while(chance, 6))
        for user in chaos.users:
            chaos.system.target.set_user_rule(user, None)
        chaos.note("endpoint: well")
