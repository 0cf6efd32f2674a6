"""What a system at rest must look like: nothing waits, every key of a job ends, counts are right, nobody complains."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from taskqueue.broker.names import FAILED_QUEUE
from tests.support.chaos_posts import Posts
from tests.support.queue_depths import depths_of
from tests.support.system import System

#: keys of what is on its way
_PASSING = (
    "taskqueue:claim:*",
    "taskqueue:delayed*",
    "taskqueue:waiting*",
    "taskqueue:running:*",
    "taskqueue:distribution:*:*",
    "taskqueue:damaged:*",
)

#: keys of jobs and of what was planned, each of which must end
_ENDING = ("taskqueue:done:*", "taskqueue:execution:*", "taskqueue:occurrence:*", "taskqueue:cancelled:*")

#: what a log says of something that was lost
_LOSSES = frozenset({"slot_list_gone", "waiting_jobs_lost"})


async def left(system: System, posts: Posts) -> list[str]:
    """Return what is still on its way."""
    found = [key for pattern in _PASSING for key in await _keys(system, pattern)]
    found += [f"occurrence {name!r}" for name in await system.redis.zrange("taskqueue:occurrences", 0, -1)]
    found += [f"{count} in {queue}" for queue, count in (await system.depths()).items() if count]
    for worker in posts.running("worker"):
        if active := (await worker.http.get("/health")).json()["active_jobs"]:
            found.append(f"{active} in {worker.name}")
    return found


async def complaints(system: System, posts: Posts) -> list[str]:
    """Return what is not as it must be when all is over."""
    found = [
        f"{key} stays for ever"
        for pattern in _ENDING
        for key in await _keys(system, pattern)
        if await system.redis.ttl(key) < 0
    ]
    found += await _wrong_counts(system)
    if failed := (await asyncio.to_thread(depths_of, system.place.amqp_url, FAILED_QUEUE))[FAILED_QUEUE]:
        found.append(f"{failed} failed for good")
    for process in (*posts.running("scheduler"), *posts.running("worker")):
        answer = await process.http.get("/readyz")
        found += [f"{process.name} is not ready: {answer.text}"] if answer.status_code != 200 else []
    if len(posts.leading) != 1:
        found.append(f"{len(posts.leading)} schedulers lead")
    return found + _words(posts)


def _words(posts: Posts) -> list[str]:
    """Return what processes wrote that none should have to."""
    found = []
    for process in posts.ever():
        found += [f"{process.name} on stderr: {process.errors}"] if process.errors else []
        for line in process.lines:
            # Redis may refuse a write before the process has heard that it refuses all.
            surprise = line.get("exception") and "Redis" not in str(line.get("error"))
            found += [f"{process.name}: {line}"] if surprise or line["event"] in _LOSSES else []
    return found


async def _wrong_counts(system: System) -> list[str]:
    """Return the tasks of which other ends were counted than there are records, and records of what has not ended."""
    ended, counted, states = Counter[str](), Counter[str](), Counter[str]()
    for key in await _keys(system, "taskqueue:execution:*"):
        if key.count(":") == 2:  # attempts, waits and logs have names behind the id
            record = json.loads(await system.redis.get(key))
            states[record["status"]] += 1
            ended[record["task_type_id"]] += record["status"] == "success"
    for key in await _keys(system, "taskqueue:metrics:executions:*"):
        for task, count in (await system.redis.hgetall(key)).items():
            counted[str(task, "utf-8")] += int(count)
    found = [
        f"{task}: {ended[task]} have ended, {counted[task]} are counted"
        for task in ended | counted
        if ended[task] != counted[task]
    ]
    return found + [f"{count} are {state}" for state, count in states.items() if state not in {"success", "skipped"}]


async def _keys(system: System, pattern: str) -> list[str]:
    return [str(key, "utf-8") async for key in system.redis.scan_iter(pattern, count=1000)]
