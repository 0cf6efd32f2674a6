"""The job of the peers' workers in `worker_throughput.py`: where it waits, what it posts and where to.

For both environments: nothing but the standard library is needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

#: of the POST; those of the real jobs have as many
BODY_BYTES = 220

AMQP_URL_VARIABLE = "TASKQUEUE_QUEUE__URL"
ENDPOINT_VARIABLE = "TASKQUEUE_BENCHMARK_ENDPOINT"
JSON_HEADERS = {"Content-Type": "application/json"}

_PARAMETERS = {"text": "x" * (BODY_BYTES - len('{"user_id":"user_0000000","parameters":{"text":""}}'))}

#: the parameters of every user's job, as JSON
PARAMETERS = json.dumps(_PARAMETERS, separators=(",", ":"))


def user(number: int) -> str:
    """Return the user of one job."""
    return f"user_{number:07d}"


def payloads(jobs: int) -> Iterator[dict[str, object]]:
    """Return what each job posts."""
    return ({"user_id": user(number), "parameters": _PARAMETERS} for number in range(jobs))


def encoded(payload: object) -> bytes:
    """Return a payload as the body of a POST."""
    return json.dumps(payload, separators=(",", ":")).encode()


def peer_queue(peer: str) -> str:
    """Return the name of the quorum queue of one peer."""
    return f"taskqueue.benchmark.{peer}"


def amqp_url() -> str:
    """Return the RabbitMQ of this run."""
    return os.environ[AMQP_URL_VARIABLE]


def endpoint() -> str:
    """Return the URL that jobs call; workers have it, who only fills a queue does not."""
    return os.environ.get(ENDPOINT_VARIABLE, "")
