"""What happens to processes: they are killed, told to end, stopped for a while, and split from the services."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from tests.support.chaos_model import Trouble
from tests.support.chaos_posts import Post
from tests.support.chaos_system import LEASE_S, ChaosSystem
from tests.support.processes import Process
from tests.support.tcp_proxy import TcpProxy

#: seconds that a worker may be silent before its jobs are taken for lost, less those between two words of it
_SILENT_S = 11.0

#: seconds before its death in which a call came from a worker that had not written down its end
_CALLED_BEFORE_S = 2.0

#: seconds for a process to finish what it has begun
_ENDED_WITHIN_S = 45.0


async def kill_scheduler(chaos: ChaosSystem, chance: random.Random) -> None:
    """Kill a scheduler, most often the leader."""
    await _kill(chaos, _scheduler(chaos, chance))


async def kill_all_schedulers(chaos: ChaosSystem, _chance: random.Random) -> None:
    """Kill every scheduler."""
    await asyncio.gather(*(_kill(chaos, post) for post in chaos.posts.of("scheduler")))


async def end_scheduler(chaos: ChaosSystem, chance: random.Random) -> None:
    """Tell a scheduler to end."""
    await _end(chaos, _scheduler(chaos, chance))


async def pause_scheduler(chaos: ChaosSystem, chance: random.Random) -> None:
    """Stop a scheduler, often for longer than its lease."""
    await _pause(chaos, _scheduler(chaos, chance), chance.uniform(1, 3 * LEASE_S))


async def kill_worker(chaos: ChaosSystem, chance: random.Random) -> None:
    """Kill a worker."""
    await _kill(chaos, chance.choice(chaos.posts.of("worker")))


async def end_worker(chaos: ChaosSystem, chance: random.Random) -> None:
    """Tell a worker to end."""
    await _end(chaos, chance.choice(chaos.posts.of("worker")))


async def pause_worker(chaos: ChaosSystem, chance: random.Random) -> None:
    """Stop a worker, at times for so long that others take its jobs over."""
    seconds = [each for each in (2.0, 5.0, 18.0) if each < chaos.lasts_s / 2]
    await _pause(chaos, chance.choice(chaos.posts.of("worker")), chance.choice(seconds))


async def split(chaos: ChaosSystem, chance: random.Random) -> None:
    """Split a process from Redis, RabbitMQ or both: nothing gets through, or requests do and answers do not."""
    post = _scheduler(chaos, chance) if chance.random() < 0.6 else chance.choice(chaos.posts.of("worker"))
    proxies = chance.choice([[post.to_redis], [post.to_rabbitmq], [post.to_redis, post.to_rabbitmq]])
    how = chance.choice(["freeze", "hold answers", "refuse", "cut"])
    seconds = 0.0 if how == "cut" else chaos.a_while(chance, 6 if post.kind == "worker" else 12)
    async with post.lock:
        if post.process is None:
            return
        names = " and ".join("redis" if proxy is post.to_redis else "rabbitmq" for proxy in proxies)
        chaos.note(f"splits {post.process.name} from {names} for {seconds:.1f} s: {how}")
        async with chaos.trouble(chaos.model.pauses):
            for proxy in proxies:
                await _break(proxy, how)
            await asyncio.sleep(seconds)
            for proxy in proxies:
                proxy.refusing = False
                proxy.thaw()


async def _break(proxy: TcpProxy, how: str) -> None:
    match how:
        case "freeze":
            proxy.freeze()
        case "hold answers":
            proxy.hold_answers()
        case _:
            proxy.refusing = how == "refuse"
            await proxy.cut()


def _scheduler(chaos: ChaosSystem, chance: random.Random) -> Post:
    anyone = chance.choice(chaos.posts.of("scheduler"))
    return chance.choice(chaos.posts.leading or [anyone]) if chance.random() < 0.7 else anyone


async def _kill(chaos: ChaosSystem, post: Post) -> None:
    async with post.lock:
        if post.process is not None:
            at = time.time()
            await post.process.kill()
            chaos.note(f"killed {post.process.name}")
            _lost(chaos, post, at)
            await chaos.posts.relieve(post)


async def _end(chaos: ChaosSystem, post: Post) -> None:
    async with post.lock:
        if post.process is not None:
            await _ended(chaos, post.process)
            await chaos.posts.relieve(post)


async def _ended(chaos: ChaosSystem, process: Process) -> None:
    # Before it has begun it ends as any program does.
    codes = {0} if process.events("port_bound") else {0, -signal.SIGTERM}
    code = await process.terminate(_ENDED_WITHIN_S)
    chaos.note(f"{process.name} was told to end: {code}")
    assert code in codes, f"{process.name} ended with {code}:\n{process._last_words()}"


async def _pause(chaos: ChaosSystem, post: Post, seconds: float) -> None:
    async with post.lock:
        if post.process is None:
            return
        chaos.note(f"stops {post.process.name} for {seconds:.1f} s")
        at = time.time()
        async with chaos.trouble(chaos.model.pauses):
            post.process.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                post.process.send(signal.SIGCONT)
        if seconds > _SILENT_S:
            _lost(chaos, post, at)


def _lost(chaos: ChaosSystem, post: Post, at: float) -> None:
    if post.kind == "worker":
        chaos.model.workers.append(Trouble(since=at - _CALLED_BEFORE_S, until=time.time()))
