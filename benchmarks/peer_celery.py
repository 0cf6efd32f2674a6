"""Celery's worker for `worker_throughput.py`: threads, late acknowledgement. `fill N` puts N jobs into its queue."""

from __future__ import annotations

import sys
import threading
from typing import Any

import requests
from celery import Celery
from peer_job import JSON_HEADERS, amqp_url, encoded, endpoint, payloads, peer_queue

_QUEUE = peer_queue("celery")

app = Celery("peer", broker=amqp_url(), set_as_current=False)
app.conf.update(
    task_default_queue=_QUEUE,
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_acks_late=True,
)
own = threading.local()


@app.task(name="peer.call")
def call(payload: dict[str, Any]) -> None:
    """Post the payload over the connection of this thread."""
    if not hasattr(own, "session"):
        own.session = requests.Session()
        own.session.trust_env = False  # looking for proxies in the environment costs a tenth of a call
    own.session.post(endpoint(), data=encoded(payload), headers=JSON_HEADERS)


def fill(jobs: int) -> None:
    """Publish the jobs."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        app.amqp.queues[_QUEUE](channel).declare()
    with app.producer_pool.acquire(block=True) as producer:
        for payload in payloads(jobs):
            call.apply_async((payload,), producer=producer)


if __name__ == "__main__":
    fill(int(sys.argv[2]))
