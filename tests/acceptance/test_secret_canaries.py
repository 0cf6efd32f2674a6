"""Secrets of every kind go through a whole system, and come up nowhere but at the endpoint that they are for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import httpx
import pika
import pytest

from taskqueue.dev.services import RabbitMQ
from tests.support.canaries import Canary, answers_in, everything_in, found
from tests.support.inbox import eventually
from tests.support.mirror import Reflect, answer, headers_of, mirror, one_line, shown
from tests.support.processes import Process
from tests.support.raw_endpoint import raw_endpoint
from tests.support.system import NEVER_NOW, Place, System, foreign_message, new_users, trigger

pytestmark = pytest.mark.timeout(180)

#: never kept anywhere
IN_HEADER, IN_FILE, IN_URL, IN_HOST, SIGNING, IN_ENVIRONMENT = SECRETS = tuple(
    Canary(place) for place in ("header", "file", "URL", "host", "signing secret", "another variable")
)
AMQP, AMQP_WRONG, REDIS, REDIS_WRONG = PASSWORDS = tuple(
    Canary(place) for place in ("AMQP password", "wrong AMQP password", "Redis password", "wrong Redis password")
)
#: what a job is about: kept where jobs are kept, and told nowhere
PAYLOAD = Canary("payload")

LOGIN = "taskqueue-canary"

#: runs commands in one process, for each start takes a second
_COMMANDS = """
import contextlib, json, sys
from taskqueue.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit):
        main(words)
"""


def _fails_once(head: str, _body: bytes) -> bytes:
    return answer(503 if headers_of(head)["x-taskqueue-attempt"] == "1" else 200, shown(head))


#: what the endpoint of each task makes of its request
REFLECTIONS: Mapping[str, Reflect] = {
    "ok": lambda head, _body: answer(200, shown(head)),
    "retried": _fails_once,
    "exhausted": lambda head, _body: answer(500, shown(head)),
    "refused": lambda head, _body: answer(400, shown(head)),
    "as_text": lambda head, _body: answer(403, one_line(head, b""), {"Content-Type": "text/plain"}),
    "redirected": lambda head, body: answer(
        302, b"", {"Location": "https://elsewhere.example/?" + quote(one_line(head, body))}
    ),
    "status_line": lambda head, body: b"HTTP/1.1 " + one_line(head, body) + b"\r\n\r\n",
    "garbage": one_line,
    "header_line": lambda head, body: b"HTTP/1.1 503 X\r\n" + one_line(head, body) + b"\r\nContent-Length: 0\r\n\r\n",
    "retry_after": lambda head, body: answer(503, b"", {"Retry-After": one_line(head, body).decode()}),
    "content_type": lambda head, body: answer(500, shown(head), {"Content-Type": one_line(head, body).decode()}),
    "length": lambda head, body: answer(200, b"", {"Content-Length": one_line(head, body).decode()}),
    "chunks": lambda head, body: b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + one_line(head, body),
    "compressed": lambda head, _body: answer(200, gzip.compress(shown(head)), {"Content-Encoding": "gzip"}),
    "wide": lambda head, _body: answer(
        500, shown(head).decode().encode("utf-16"), {"Content-Type": "text/plain; charset=utf-16"}
    ),
    "cut": lambda head, _body: answer(200, shown(head))[:-700],
}

#: tasks that no mirror answers
WITHOUT_MIRROR = ("tls", "nowhere", "unresolved", "hung")


@pytest.fixture
async def guarded_place(place: Place, rabbitmq: RabbitMQ) -> AsyncIterator[Place]:
    """The place with logins of its own, whose passwords are canaries."""
    if rabbitmq.management_url is None:
        pytest.skip("needs RabbitMQ's management pages, to make a login")
    parts = urlsplit(place.amqp_url)
    virtual_host = quote(unquote(parts.path[1:]), safe="")
    admin = (unquote(parts.username or "guest"), unquote(parts.password or "guest"))
    redis = place.client()
    async with httpx.AsyncClient(base_url=rabbitmq.management_url, auth=admin, trust_env=False, timeout=30) as api:
        (await api.put(f"/api/users/{LOGIN}", json={"password": AMQP.value, "tags": ""})).raise_for_status()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        (await api.put(f"/api/permissions/{virtual_host}/{LOGIN}", json=everything)).raise_for_status()
        rights = ("reset", "on", f">{REDIS.value}", "allkeys", "allchannels", "allcommands")
        await redis.execute_command("ACL", "SETUSER", LOGIN, *rights)
        yield place
        await redis.execute_command("ACL", "DELUSER", LOGIN)
        (await api.delete(f"/api/users/{LOGIN}")).raise_for_status()
    await redis.aclose()


def logins(place: Place, amqp: Canary, redis: Canary) -> dict[str, dict[str, object]]:
    host = place.amqp_url.rpartition("@")[2]
    return {
        "queue": {"url": f"amqp://{LOGIN}:{quote(amqp.value, safe='')}@{host}"},
        "redis": {"username": LOGIN, "password": redis.value},
    }


def a_task(task_id: str, endpoint: str, file: Path, **fields: object) -> dict[str, object]:
    """Return a task type that sends every secret there is, in every place there is."""
    separator = "&" if "?" in endpoint else "?"
    config = {
        "endpoint": f"{endpoint}{separator}token=${{env:CANARY_URL}}",
        "headers": {
            "Authorization": "Bearer ${env:CANARY_HEADER}",
            "Cookie": f"session=${{file:{file}}}",
            "X-Both": f"${{env:CANARY_HEADER}},${{file:{file}}}",
        },
        "signing_secrets": ["${env:CANARY_SIGNING}"],
    }
    common = {"interval": NEVER_NOW, "config": config, "retries": 1, "retry_delay": "100ms"}
    return {"id": task_id, "distribution_window": "0s", **common, **fields}


async def _no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read(4096))[::-1])
    await writer.drain()


async def written_tasks(system: System, stack: AsyncExitStack, directory: Path) -> None:
    file = directory / "secret"
    file.write_text(IN_FILE.value + "\n", encoding="utf-8")
    urls = {
        name: await stack.enter_async_context(raw_endpoint(mirror(reflect))) for name, reflect in REFLECTIONS.items()
    }
    tasks = [a_task(name, f"{url}/in", file) for name, url in urls.items()]
    # No TLS where it is asked for, a host that only the environment knows, and a reference that nothing resolves.
    tls = await stack.enter_async_context(raw_endpoint(_no_tls))
    tasks += [
        a_task("tls", tls.replace("http:", "https:") + "/in", file),
        a_task("nowhere", "http://${env:CANARY_HOST}/in", file),
        a_task("unresolved", "http://127.0.0.1:9/${env:NOT_THERE}", file),
        a_task("hung", f"{system.target.url}/hang", file),
    ]
    system.write_tasks(*tasks)


def environment() -> dict[str, str]:
    return {
        "CANARY_HEADER": IN_HEADER.value,
        "CANARY_URL": IN_URL.value,
        "CANARY_HOST": f"{IN_HOST.mark}.invalid",
        "CANARY_SIGNING": "whsec_" + base64.b64encode(SIGNING.mark.encode()).decode(),
        "DATABASE_URL": f"postgres://reports:{IN_ENVIRONMENT.mark}@db.example/reports",
    }


async def publish_malformed(place: Place) -> int:
    """Send messages that no worker can read, each with the payload somewhere in it; return how many."""
    good = foreign_message("ok", "u", payload=base64.b64encode(PAYLOAD.value.encode()).decode())
    job = good["job"]
    broken = [
        PAYLOAD.value.encode(),
        json.dumps(good).encode()[:-20],
        json.dumps({**good, "job": {**job, "payload": PAYLOAD.value}}).encode(),
        json.dumps({**good, "job": {**job, "attempt": PAYLOAD.value}}).encode(),
        json.dumps({**good, "job": {**job, "scheduled_at": 7}}).encode(),
        json.dumps({**good, "version": "99.0"}).encode(),
        json.dumps({**good, "metadata": PAYLOAD.value}).encode(),
        json.dumps({**good, "job": PAYLOAD.value}).encode(),
    ]

    def send() -> None:
        with pika.BlockingConnection(pika.URLParameters(place.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for body in broken:
                channel.basic_publish("taskqueue", "jobs.normal", body, pika.BasicProperties(), mandatory=True)

    await asyncio.to_thread(send)
    return len(broken)


async def printed(directory: Path, *commands: Sequence[str]) -> bytes:
    """Return all that `taskqueue` prints on these commands, one after the other, whatever becomes of them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _COMMANDS, json.dumps(commands)),
        cwd=directory,
        env={**inherited, **environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output


async def printed_about(job_ids: Sequence[str], directory: Path) -> bytes:
    files = ("scheduler-1.yaml", "worker-2.yaml", "worker-3.yaml", "tasks.yaml")
    return await printed(
        directory,
        *(("exec", verb, job_id, "--config", files[0]) for job_id in job_ids for verb in ("show", "logs")),
        ("exec", "show", "a", "--config", files[2]),
        *(("config", "validate", file) for file in files),
    )


async def pages_of(*processes: Process) -> dict[str, bytes]:
    paths = ("/health", "/metrics", "/stats", "/readyz", "/livez", "/schedule/status/ok", "/schedule/status/tls")
    return {f"{process.name} {path}": (await process.http.get(path)).content for process in processes for path in paths}


def logs_of(*processes: Process) -> dict[str, bytes]:
    logs = {f"log of {each.name}": "\n".join(map(json.dumps, each.lines)).encode() for each in processes}
    return logs | {f"stderr of {each.name}": each.errors.encode() for each in processes}


async def cancelled_while_it_hangs(system: System, directory: Path) -> None:
    await eventually(lambda: _called(system), 15)
    job_id = system.target.calls[0].headers["x-taskqueue-job"]
    await printed(directory, ("exec", "cancel", job_id, "--config", "scheduler-1.yaml"))


async def _called(system: System) -> bool:
    return bool(system.target.calls)


async def test_secrets_reach_their_endpoint_and_nothing_else(
    guarded_place: Place, system: System, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        await written_tasks(system, stack, tmp_path)
        right = logins(guarded_place, AMQP, REDIS)
        scheduler, worker = await system.scheduler_and_worker(right, scheduler=right, environment=environment())
        stranger = await system.worker(logins(guarded_place, AMQP_WRONG, REDIS_WRONG), environment())
        await stranger.wait_for("connection_lost")
        task_ids = (*REFLECTIONS, *WITHOUT_MIRROR)
        (user,) = new_users(1)
        for task_id in task_ids:
            key = f"taskqueue:users:{user}:settings:{task_id}"
            await system.redis.hset(key, "parameters", json.dumps({"note": PAYLOAD.value}))
            await trigger(scheduler, task_id, [user])
        malformed = await publish_malformed(guarded_place)
        await cancelled_while_it_hangs(system, tmp_path)

        async def all_ended() -> bool:
            ended = [key async for key in system.redis.scan_iter("taskqueue:done:*")]
            return len(ended) == len(task_ids) and len(system.failed.messages) >= malformed

        await eventually(all_ended, 60)
        kept = await everything_in(system.redis)
        job_ids = [
            name.removeprefix("Redis taskqueue:done:") for name in kept if name.startswith("Redis taskqueue:done:")
        ]
        told = {
            **await pages_of(scheduler, worker, stranger),
            "output of commands": await printed_about(job_ids, tmp_path),
            **{f"headers of failed {each.message_id}": repr(each.headers).encode() for each in system.failed.messages},
        }
        await system.drained(scheduler, worker)
        await stranger.kill()
        await scheduler.terminate()
    told |= logs_of(scheduler, worker, stranger)
    queued = {f"body of failed {each.message_id}": each.body for each in system.failed.messages}

    assert found([*SECRETS, *PASSWORDS], {**kept, **answers_in(kept), **told, **queued}) == []
    assert found([PAYLOAD], told) == []
    assert found([PAYLOAD], kept)
    assert IN_HEADER.value in system.target.calls[0].headers["authorization"]
    assert b"[redacted]" in b"".join(text for name, text in kept.items() if name.endswith(":logs"))
