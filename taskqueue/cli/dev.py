"""`taskqueue dev`: RabbitMQ, Redis, a scheduler, a worker, an API and an endpoint on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from taskqueue.config.settings import process_environment
from taskqueue.dev.local_server import ports_near
from taskqueue.dev.playground import ApiLayout, Layout, Playground, kept_target_port, playground, unless_stopped
from taskqueue.dev.services import Services, development_services
from taskqueue.errors import ServiceError
from taskqueue.runtime import run

#: where scheduler, worker and API listen, unless something else does
_PORTS = (8080, 8081, 8000)
#: where the endpoint listens, unless something else does, or a kept tasks.yaml or --target-port names another port
_TARGET_PORT = 8082

#: seconds between two looks at the processes
_LOOK_EVERY_S = 1.0

#: calls that the endpoint remembers; it may run for days
_CALLS_KEPT = 10_000


def dev(
    directory: Annotated[
        Path, typer.Option(help="For settings and logs; a tasks.yaml that is there is used as it is.")
    ] = Path(".taskqueue-dev"),
    target_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the endpoint that tasks call; 8082, or a free one, when left out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run everything on this machine, with the demo's tasks and users, until Ctrl-C.

    RabbitMQ and Redis are those named in the environment, or are started for as long as this runs.
    """
    environ = process_environment()
    with development_services(environ, _say, management=True) as services:
        endpoint_port = target_port or kept_target_port(directory) or _free_target_port()
        # Nothing listens at the endpoint's port before the playground begins.
        scheduler_port, worker_port, api_port = ports_near(_PORTS, avoid=endpoint_port)
        layout = Layout(
            directory=directory.resolve(),
            scheduler_port=scheduler_port,
            worker_port=worker_port,
            api=ApiLayout(port=api_port, token=secrets.token_hex(32)),
            target_port=endpoint_port,
            keep_tasks=True,
        )
        _say("starting a scheduler, a worker, an API and an endpoint")
        run(lambda: unless_stopped(_stay(services, layout, environ)))
    _say("stopped")


def _free_target_port() -> int:
    (port,) = ports_near((_TARGET_PORT,), avoid=0)
    return port


async def _stay(services: Services, layout: Layout, environ: Mapping[str, str]) -> NoReturn:
    async with playground(services, layout, environ) as ground:
        for line in _where(services, ground):
            _say(line)
        try:
            await _watch(ground)
        finally:
            _say("stopping")
            for name, code in (await ground.stop()).items():
                if code != 0:
                    _say(f"the {name} ended with exit code {code}; see {layout.directory / name}.out")


async def _watch(ground: Playground) -> NoReturn:
    """Return never; raise ServiceError when a process ends by itself."""
    while True:
        for server in ground.servers.values():
            if not server.running:
                raise ServiceError(f"the {server.name} has ended; see {ground.layout.directory / server.name}.out")
        del ground.target.calls[:-_CALLS_KEPT]
        await asyncio.sleep(_LOOK_EVERY_S)


def _where(services: Services, ground: Playground) -> list[str]:
    """Return what there is to look at and to change, one line each."""
    rabbitmq, layout = services.rabbitmq, ground.layout
    host, _, port = services.redis.address.rpartition(":")
    redis_cli = f"redis-cli -h {host} -p {port} -n {ground.database}"
    login = "" if rabbitmq.origin == "TASKQUEUE_QUEUE__URL" else "   (guest, password guest)"
    return [
        "",
        f"RabbitMQ    {ground.session.place}",
        f"            {rabbitmq.management_url or 'no management page known'}{login}",
        f"Redis       {redis_cli}",
        f"scheduler   {ground.scheduler_url}/health",
        f"            {ground.scheduler_url}/schedule/status/demo_report",
        f"worker      {ground.worker_url}/stats",
        *_where_api(layout.api),
        f"endpoint    {ground.target.url}/-/calls   what was called",
        f"tasks       {layout.directory}/tasks.yaml   a change counts within seconds",
        f"users       {len(ground.users)} in Redis: HSET taskqueue:users:demo-user-002:tasks demo_report 0",
        f"logs        {layout.directory}/{', '.join(f'{name}.out' for name in ground.servers)}",
        "",
        "in another shell:",
        *(f"    {line}" for line in _shell_lines(services, ground)),
        "",
        "Ctrl-C stops everything.",
    ]


def _where_api(api: ApiLayout | None) -> list[str]:
    if api is None:
        return []
    return [
        f"API         {api.url}/docs   its token holds while this runs:",
        f"            curl -sS -H 'Authorization: Bearer {api.token}' {api.url}/api/v1/tasks",
    ]


def _shell_lines(services: Services, ground: Playground) -> list[str]:
    """Return what lets `taskqueue` of another shell reach all of this, and a first command.

    What the environment named is left to the environment: it may hold passwords.
    """
    variables = {
        "TASKQUEUE_REDIS__ADDRESSES": json.dumps([services.redis.address]),
        "TASKQUEUE_REDIS__DB": str(ground.database),
    }
    if services.rabbitmq.origin != "TASKQUEUE_QUEUE__URL":
        variables["TASKQUEUE_QUEUE__URL"] = services.rabbitmq.amqp_url
    if (api := ground.layout.api) is not None:
        variables |= {"TASKQUEUE_API_URL": api.url, "TASKQUEUE_TOKEN": api.token}
    config = shlex.quote(str(ground.layout.directory / "scheduler.yaml"))
    return [
        f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"',
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        f"taskqueue users show demo-user-002 --config {config}",
    ]


def _say(line: str) -> None:
    typer.echo(line)
