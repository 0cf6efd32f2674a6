"""Taskiq's worker for `worker_throughput.py`. `fill N` puts N jobs into its queue."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
import uvloop
from peer_job import JSON_HEADERS, amqp_url, encoded, endpoint, payloads, peer_queue
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

_PREFETCH = 100
_PUBLISHED_AT_ONCE = 500

broker = AioPikaBroker(amqp_url(), qos=_PREFETCH, task_queues=[Queue(name=peer_queue("taskiq"), type=QueueType.QUORUM)])
sessions: list[aiohttp.ClientSession] = []


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(_state: TaskiqState) -> None:
    """Open the pool of connections, in the worker's own loop."""
    sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(_state: TaskiqState) -> None:
    """Close it."""
    await sessions[0].close()


@broker.task(task_name="peer.call")
async def call(payload: dict[str, Any]) -> None:
    """Post the payload."""
    async with sessions[0].post(endpoint(), data=encoded(payload), headers=JSON_HEADERS) as response:
        await response.read()


async def fill(jobs: int) -> None:
    """Publish the jobs, each confirmed."""
    await broker.startup()
    waiting = list(payloads(jobs))
    for start in range(0, jobs, _PUBLISHED_AT_ONCE):
        await asyncio.gather(*(call.kiq(payload) for payload in waiting[start : start + _PUBLISHED_AT_ONCE]))
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.run(fill(int(sys.argv[2])))
