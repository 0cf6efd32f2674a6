"""`--config` of each verb: a type for everything that settings files are read for, and the files read by default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

SCHEDULER_YAML: Final = Path("config/scheduler.yaml")
WORKER_YAML: Final = Path("config/worker.yaml")
API_YAML: Final = Path("config/api.yaml")

_OVERRIDES = "with the environment's overrides."
_EITHER = typer.Option(help=f"scheduler.yaml or worker.yaml, {_OVERRIDES}")

#: of a process, which reads all of it
SettingsFile = Annotated[Path, typer.Option(help="The settings file.")]

RedisConfig = Annotated[Path, typer.Option(help=f"Names Redis, {_OVERRIDES}")]
RabbitMQConfig = Annotated[Path, typer.Option(help=f"Names RabbitMQ, {_OVERRIDES}")]
ServicesConfig = Annotated[Path, typer.Option(help=f"Names RabbitMQ and Redis, {_OVERRIDES}")]
RedisAndTasksConfig = Annotated[Path, typer.Option(help=f"Names Redis and the tasks file, {_OVERRIDES}")]
PlanConfig = Annotated[Path, typer.Option(help=f"The scheduler's settings: Redis and defaults, {_OVERRIDES}")]

#: of a verb that takes the file of a scheduler or of a worker
EitherConfig = Annotated[Path, _EITHER]
EitherConfigOrNone = Annotated[Path | None, _EITHER]
