"""Running the processes: load the settings, route the log, put the process together, run it until a signal."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import typer

from taskqueue import __version__
from taskqueue.cli.config_options import API_YAML, SCHEDULER_YAML, WORKER_YAML, SettingsFile
from taskqueue.config.sections import MonitoringSettings
from taskqueue.config.settings import (
    load_api_settings,
    load_scheduler_settings,
    load_worker_settings,
    process_environment,
)
from taskqueue.runtime import Service, run, run_service
from taskqueue.telemetry.events import Emitter
from taskqueue.telemetry.log import configure_logging
from taskqueue.telemetry.metrics import Metrics

Build = Callable[[Metrics, Emitter], Service]


def scheduler(
    config: SettingsFile = SCHEDULER_YAML,
) -> None:
    """Run a scheduler: plan what is due, release it to RabbitMQ. Any number may run; one of them leads."""
    from taskqueue.scheduler.main import SHUTDOWN_TIMEOUT, Scheduler

    settings = load_scheduler_settings(config)
    code = _run(
        lambda metrics, emit: Scheduler(settings, metrics, emit),
        settings.monitoring,
        shutdown_timeout_s=SHUTDOWN_TIMEOUT.total_seconds(),
    )
    raise typer.Exit(code)


def worker(
    config: SettingsFile = WORKER_YAML,
) -> None:
    """Run a worker: take jobs from RabbitMQ and call their endpoints. Any number may run."""
    from taskqueue.worker.main import Worker

    settings = load_worker_settings(config)
    environ = process_environment()
    code = _run(
        lambda metrics, emit: Worker(settings, environ, metrics, emit),
        settings.monitoring,
        shutdown_timeout_s=settings.worker.shutdown_timeout.total_seconds(),
    )
    raise typer.Exit(code)


def api(
    config: SettingsFile = API_YAML,
) -> None:
    """Run an API: take tasks and answer about them over HTTP. Any number may run."""
    from taskqueue.api.main import Api, shutdown_timeout_s

    settings = load_api_settings(config)
    code = _run(
        lambda metrics, emit: Api(settings, metrics, emit),
        settings.monitoring,
        shutdown_timeout_s=shutdown_timeout_s(settings),
    )
    raise typer.Exit(code)


def _run(build: Build, monitoring: MonitoringSettings, *, shutdown_timeout_s: float) -> int:
    emit = Emitter()
    metrics = Metrics(version=__version__)
    emit.subscribe("log", configure_logging(level=monitoring.log_level, log_format=monitoring.log_format))
    emit.subscribe("metrics", metrics.handle)

    async def main() -> int:
        # Built inside the loop, which its locks and events belong to; an error of the configuration ends it here.
        return await run_service(build(metrics, emit), shutdown_timeout_s=shutdown_timeout_s, emit=emit)

    # What was imported stays until the end. Looking through it again and again would stop everything for 50 ms a time.
    gc.collect()
    gc.freeze()
    try:
        return run(main)
    except asyncio.CancelledError:
        return 1
