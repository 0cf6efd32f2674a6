"""The peers' side, run by the Python of `.venv-bench`: one question a line on stdin, its answer a line on stdout.

Nothing of taskqueue is imported here, and nothing but the standard library and the peers is needed.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import apscheduler
import celery
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab

_QUEUE = "taskqueue.benchmark.peer"
_LATENESS_FILE = "TASKQUEUE_BENCHMARK_LATENESS"

app = Celery("peer", broker=os.environ.get("TASKQUEUE_QUEUE__URL", "memory://"), set_as_current=False)
app.conf.update(
    task_default_queue=_QUEUE,
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=0,
)


@app.task(name="peer.call")
def call(user_id: str) -> None:
    """What a user's job would be."""


@app.task(name="peer.note")
def note(due: float) -> None:
    """Write down how late it starts."""
    with Path(os.environ[_LATENESS_FILE]).open("a", encoding="ascii") as file:
        file.write(f"{time.time() - due}\n")


# --- ticks ------------------------------------------------------------------------------------------------------------


@cache
def beat_of(entries: int) -> Scheduler:
    """Return a beat with so many daily entries, none of them due, after its first tick."""
    beat = Scheduler(app=app, lazy=True)
    for number in range(entries):
        rule = crontab(hour=str(number % 24), minute=str(number % 60), day_of_month="29", month_of_year="2", app=app)
        entry = ScheduleEntry(name=f"e{number}", task="peer.call", schedule=rule, app=app)
        beat.schedule[entry.name] = entry
    beat.tick()
    return beat


def beat_tick(entries: int) -> float:
    """Return the seconds of one tick."""
    beat = beat_of(entries)
    began = time.perf_counter()
    beat.tick()
    return time.perf_counter() - began


@cache
def jobs_of(entries: int) -> MemoryJobStore:
    """Return an APScheduler store with so many jobs, none of them due."""
    scheduler = BackgroundScheduler(timezone="UTC")
    store = MemoryJobStore()
    scheduler.add_jobstore(store)
    scheduler.start(paused=True)
    far = datetime.now(UTC) + timedelta(days=365)
    for number in range(entries):
        scheduler.add_job(print, "date", run_date=far + timedelta(seconds=number), id=f"e{number}")
    return store


def aps_tick(entries: int) -> float:
    """Return the seconds of asking for what is due and when to wake."""
    store, repeats = jobs_of(entries), 100
    now = datetime.now(UTC)
    began = time.perf_counter()
    for _ in range(repeats):
        store.get_due_jobs(now)
        store.get_next_run_time()
    return (time.perf_counter() - began) / repeats


# --- fan-out ----------------------------------------------------------------------------------------------------------


def celery_delay(users: int) -> float:
    """Return users per second, each a `.delay()` that waits for RabbitMQ's confirm."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        app.amqp.queues[_QUEUE](channel).declare()
    call.delay("warm")
    began = time.perf_counter()
    for number in range(users):
        call.delay(f"user_{number:07d}")
    rate = users / (time.perf_counter() - began)
    drop_queue()
    return rate


def aps_add(users: int) -> float:
    """Return users per second, each a job of its own in memory."""
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.start(paused=True)
    due = datetime.now(UTC) + timedelta(hours=1)
    began = time.perf_counter()
    for number in range(users):
        scheduler.add_job(print, "date", run_date=due + timedelta(milliseconds=number), args=[f"user_{number:07d}"])
    rate = users / (time.perf_counter() - began)
    scheduler.shutdown()
    return rate


def drop_queue() -> None:
    """Delete the queue."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_delete(_QUEUE)


# --- lateness ---------------------------------------------------------------------------------------------------------


def due_times(jobs: int, window_s: float) -> list[float]:
    """Return due instants, unix seconds, spread over the window, in no order; the first in five seconds."""
    first = time.time() + 5
    due = [first + window_s * number / jobs for number in range(jobs)]
    random.Random(1).shuffle(due)
    return due


def aps_lateness(jobs: int, window_s: float) -> list[float]:
    """Return how late each one-shot job started in APScheduler's own thread pool, seconds."""
    found: list[float] = []
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"misfire_grace_time": 60})
    scheduler.start()
    due = due_times(jobs, window_s)
    for instant in due:
        when = datetime.fromtimestamp(instant, UTC)
        scheduler.add_job(lambda instant=instant: found.append(time.time() - instant), "date", run_date=when)
    wait(lambda: len(found) >= jobs, window_s + 40)
    scheduler.shutdown(wait=False)
    return found


def celery_lateness(jobs: int, window_s: float) -> list[float]:
    """Return how late each job with an ETA started in a worker of ten threads, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lateness"
        file.touch()
        command = (sys.executable, "-m", "celery", "-A", "peer_process:app", "worker", "-P", "threads", "-c", "10")
        worker = subprocess.Popen(
            [*command, "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"],
            env={**os.environ, _LATENESS_FILE: str(file)},
            cwd=Path(__file__).resolve().parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            note.delay(time.time())
            wait(lambda: lines(file) >= 1, 60)
            for instant in due_times(jobs, window_s):
                note.apply_async((instant,), eta=datetime.fromtimestamp(instant, UTC))
            wait(lambda: lines(file) > jobs, window_s + 40)
            # The first one only told that the worker was up.
            return [float(line) for line in file.read_text(encoding="ascii").splitlines()[1:]]
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            drop_queue()


def wait(done: Callable[[], bool], within_s: float) -> None:
    """Return once it is done, or after so long."""
    until = time.monotonic() + within_s
    while not done() and time.monotonic() < until:
        time.sleep(0.1)


def lines(file: Path) -> int:
    """Return how many lines are there."""
    return file.read_bytes().count(b"\n")


# --- questions --------------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return who answers here."""
    return {"Celery": celery.__version__, "APScheduler": apscheduler.version}


_QUESTIONS: dict[str, Callable[..., object]] = {
    each.__name__: each
    for each in (versions, beat_tick, aps_tick, celery_delay, aps_add, aps_lateness, celery_lateness)
}


def main() -> None:
    """Answer until stdin ends."""
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _QUESTIONS[request.pop("question")](**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
