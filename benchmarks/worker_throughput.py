"""Jobs per second of one worker process on one core, beside FastStream, Celery and Taskiq.

Ours does the whole job: claim, preference, global and task limit, HTTP call, record, metrics, acknowledgement. The
peers consume, call and acknowledge. Everything around the worker runs on a second core, on services of our own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contenders import OURS, Contender, contenders
from cores import Cores, Watch, take_cores
from counter import broker_version
from endpoint import Endpoint, nginx
from peers import PEERS_PYTHON, peer_versions
from report import Goal, Report, machine_of
from stage import Stage, stage

from taskqueue.broker.connection import connect_any
from taskqueue.dev.services import development_services
from taskqueue.runtime import run

_HERE = Path(__file__).resolve().parent

CONCURRENCY = 100

#: how many times as many jobs per second as theirs
_GOALS = {"FastStream + aiohttp": 1.5, "Celery threads + requests": 4.0}

#: of the hits, how many come before the clock starts: connections are made and code is warm by then
_WARM_UP = 0.1

#: the slowest contender that is waited for, jobs per second, and what a start may take besides
_SLOWEST, _START_S = 50, 60.0

#: a worker that has called everything may take so long to acknowledge it, and so long to leave
_ACKNOWLEDGED_WITHIN_S, _LEAVES_WITHIN_S = 1.0, 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One worker over its jobs, without the first tenth.

    `others` is the share of its core that others took, `around` the share of time that the other core was busy.
    """

    jobs_per_s: float
    cpu_us: float
    memory_mb: float
    others: float
    around: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much, how often, and who: words of their names; none for all."""

    jobs: int
    rounds: int
    only: tuple[str, ...]


async def measure(place: Stage, endpoint: Endpoint, cores: Cores, terms: Terms, result: Path | None) -> None:
    """Run everybody in turn, round by round, and tell how they compare."""
    report = Report(machine=await machine_of(place.store, await broker_version(place.amqp_url)))
    print(f"the worker, {terms.jobs:,} jobs, {CONCURRENCY} at a time; " + ", ".join(report.machine.values()))
    sides = [side for side in contenders(place, endpoint.url, CONCURRENCY) if _wanted(side.name, terms.only)]
    if not PEERS_PYTHON.exists():
        report.say("the peers are not installed: `make bench` does that; measured without them")
        sides = [side for side in sides if side.name.startswith(OURS)]
    else:
        report.say("beside " + ", ".join(await peer_versions("faststream", "celery", "taskiq", "aiohttp", "requests")))
    report.part(f"{terms.rounds} rounds")
    runs: dict[str, list[Run]] = {side.name: [] for side in sides}
    for number in range(terms.rounds):
        for side in sides:
            found = await _run(place, endpoint, cores, side, terms.jobs)
            runs[side.name].append(found)
            cores_told = f"others took {found.others:.0%} of its core, the other one was {found.around:.0%} busy"
            speed = f"{found.jobs_per_s:,.0f} jobs/s, {found.cpu_us:,.0f} µs/job"
            report.say(f"round {number + 1}, {side.name}: {speed}; {cores_told}")
    _tell(report, runs)
    if result is not None:
        report.write(result)


def _wanted(name: str, only: Sequence[str]) -> bool:
    return not only or any(word.lower() in name.lower() for word in only)


# --- one run ----------------------------------------------------------------------------------------------------------


async def _run(place: Stage, endpoint: Endpoint, cores: Cores, side: Contender, jobs: int) -> Run:
    await side.fill(jobs)
    endpoint.clear()
    log = place.directory / f"{side.name}.log"
    with log.open("wb") as output:
        worker = await asyncio.create_subprocess_exec(
            *cores.command(*side.command()),
            cwd=_HERE,
            env=side.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        async with Watch(worker.pid, cores) as watch:
            await _called(worker, endpoint, jobs)
            await asyncio.sleep(_ACKNOWLEDGED_WITHIN_S)
    finally:
        await _end(worker)
    if endpoint.look() != jobs:
        words = "\n".join(_last_lines(log))
        raise SystemExit(f"{side.name}: {len(endpoint.hits)} requests for {jobs} jobs; its log ends:\n{words}")
    if left := await _left(place, side.queue):
        raise SystemExit(f"{side.name}: {left} of {jobs} jobs were not acknowledged")
    await side.check(endpoint.hits)
    return _judged(watch, endpoint, jobs)


async def _called(worker: asyncio.subprocess.Process, endpoint: Endpoint, jobs: int) -> None:
    """Return once every job was called, or the worker has ended, or it takes for ever."""
    until = time.monotonic() + _START_S + jobs / _SLOWEST
    while time.monotonic() < until and worker.returncode is None:
        if endpoint.look() >= jobs:
            return
        await asyncio.sleep(0.1)


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVES_WITHIN_S):
                await worker.wait()
    # Its children are in its session, and with them whoever does not leave.
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    await worker.wait()


async def _left(place: Stage, queue: str) -> int:
    session = await connect_any([place.amqp_url], "benchmark")
    try:
        async with session.passing_channel(f"looking at {queue}") as channel:
            return (await channel.queue_declare(queue, passive=True)).message_count or 0
    finally:
        await session.close()


def _last_lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]


def _judged(watch: Watch, endpoint: Endpoint, jobs: int) -> Run:
    first = int(jobs * _WARM_UP)
    first_at, last_at = endpoint.hits[first].at, endpoint.hits[-1].at
    used, done, seconds = watch.used(first_at, last_at), jobs - 1 - first, last_at - first_at
    return Run(
        jobs_per_s=done / seconds,
        cpu_us=used.cpu_s / done * 1e6,
        memory_mb=used.memory_mb,
        others=used.others_s / seconds,
        around=used.around_s / seconds,
    )


# --- what came of it --------------------------------------------------------------------------------------------------


def _tell(report: Report, runs: dict[str, list[Run]]) -> None:
    """Add the ratios first: of the two runs of one round each, which met the same disturbances."""
    ours = runs.get(OURS, [])
    for name, theirs in runs.items():
        if ours and theirs is not ours:
            _compare(report, ours, theirs, name)
    for name, each in runs.items():
        report.rounds(name, [found.jobs_per_s for found in each], "jobs/s")
    for name, each in runs.items():
        report.rounds(f"{name}, processor time", [found.cpu_us for found in each], "µs/job", lower_is_better=True)
    for name, each in runs.items():
        report.rounds(f"{name}, memory", [found.memory_mb for found in each], "MB", lower_is_better=True)
    others = [found.others * 100 for each in runs.values() for found in each]
    report.rounds("the worker's core, taken by others", others, "%", lower_is_better=True)


def _compare(report: Report, ours: Sequence[Run], theirs: Sequence[Run], name: str) -> None:
    pairs = list(zip(ours, theirs, strict=True))
    goal = Goal(bound=_GOALS[name], at_least=True) if name in _GOALS else None
    report.rounds(f"jobs/s over {name}", [mine.jobs_per_s / other.jobs_per_s for mine, other in pairs], "times", goal)
    # Whoever else uses the core makes both of these slower, the best round and a job's own time the least.
    best = max(run.jobs_per_s for run in ours) / max(run.jobs_per_s for run in theirs)
    report.figure(f"the same, best round over {name}'s best", best, "times")
    report.rounds(f"processor time of its job over ours, {name}", [b.cpu_us / a.cpu_us for a, b in pairs], "times")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="of each worker in a round: 10,000")
    parser.add_argument("--rounds", type=int, default=5, help="each worker once in a round: 5")
    parser.add_argument("--quick", action="store_true", help="three rounds of 5,000 jobs, unless told otherwise")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="`ours`, or words of the peers' names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    if (options := parser.parse_args()).quick:
        parser.set_defaults(jobs=5_000, rounds=3)
        options = parser.parse_args()
    only = tuple(OURS if name == "ours" else name for name in options.only)
    terms = Terms(jobs=options.jobs, rounds=options.rounds, only=only)
    cores = take_cores()
    # Services that run already would stand on both cores, and a container's as well.
    named = ("TASKQUEUE_QUEUE__", "TASKQUEUE_REDIS__")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    environ["TASKQUEUE_DEV_CONTAINERS"] = "no"

    with development_services(environ, print) as services, nginx(environ, print) as endpoint:

        async def everything() -> None:
            async with stage({**environ, **services.environment()}) as place:
                await measure(place, endpoint, cores, terms, options.json)

        run(everything)


if __name__ == "__main__":
    main()
