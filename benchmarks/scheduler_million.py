"""The scheduler at a million users: index, plan, memory, release, failover, and what due work costs.

Real scheduler processes on a RabbitMQ and a Redis that the environment names (`make bench` starts them).
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cohorts
import due_work
import failover
import fan_out
import release
import size
from counter import Counter
from peers import Peers
from report import Report, machine_of
from stage import TASKS, Stage, stage

from taskqueue.broker.names import READY_QUEUES
from taskqueue.runtime import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How large the measurement is."""

    users: int
    window_s: float
    release_window_s: float
    rest_s: float
    watch_s: float
    due_sizes: tuple[int, ...]
    cohorts: int


Part = Callable[[Stage, Report, Counter, Form], Awaitable[None]]


async def _size(place: Stage, report: Report, counter: Counter, form: Form) -> None:
    await size.measure(
        place, report, counter, size.Terms(form.users, form.window_s, rest_s=form.rest_s, watch_s=form.watch_s)
    )


async def _release(place: Stage, report: Report, counter: Counter, form: Form) -> None:
    await release.measure(place, report, counter, users=form.users, window_s=form.release_window_s)


async def _failover(place: Stage, report: Report, counter: Counter, form: Form) -> None:
    await failover.measure(place, report, counter, users=form.users, window_s=form.release_window_s)


async def _due_work(place: Stage, report: Report, _counter: Counter, form: Form) -> None:
    async with Peers.found(report) as peers:
        await due_work.measure(place, report, peers, form.due_sizes)


async def _cohorts(place: Stage, report: Report, counter: Counter, form: Form) -> None:
    await cohorts.measure(place, report, counter, min(form.cohorts, form.users))


async def _fan_out(place: Stage, report: Report, counter: Counter, _form: Form) -> None:
    async with Peers.found(report) as peers:
        await fan_out.measure(place, report, counter, peers)


#: those that need no users in Redis come first: an empty Redis is what their peers have as well
_WITHOUT_USERS: Mapping[str, Part] = {"due": _due_work, "cohorts": _cohorts, "fanout": _fan_out}
_WITH_USERS: Mapping[str, Part] = {"size": _size, "release": _release, "failover": _failover}
PARTS = {**_WITHOUT_USERS, **_WITH_USERS}


async def measure(form: Form, parts: list[str], result: Path | None) -> None:
    """Run the parts asked for, one after the other."""
    async with stage() as place:
        counter = Counter(place.amqp_url, READY_QUEUES, tasks=len(TASKS), users=form.users)
        await counter.start()
        report = Report(machine=await machine_of(place.store, counter.version))
        print(f"the scheduler, {form.users:,} users of {len(TASKS)} task types; " + ", ".join(report.machine.values()))
        try:
            for name, part in _WITHOUT_USERS.items():
                if name in parts:
                    await part(place, report, counter, form)
            if _WITH_USERS.keys() & set(parts):
                await place.load_users(form.users)
            for name, part in _WITH_USERS.items():
                if name in parts:
                    await part(place, report, counter, form)
                    await place.end_all()
                    counter.forget()
        finally:
            counter.stop()
            if result is not None:
                report.write(result)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some minutes: 200,000 users, shorter looks")
    parser.add_argument("--users", type=int, help="1,000,000 unless told otherwise")
    parser.add_argument("--window", type=float, default=1800, metavar="S", help="seconds of the planned window: 1800")
    parser.add_argument("--release-window", type=float, default=30, metavar="S", help="and of the released one: 30")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all, unless told otherwise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    form = Form(
        users=options.users or (200_000 if options.quick else 1_000_000),
        window_s=options.window,
        release_window_s=options.release_window,
        rest_s=20 if options.quick else 60,
        watch_s=30 if options.quick else 120,
        due_sizes=(1_000, 10_000, 100_000) if options.quick else (1_000, 10_000, 100_000, 1_000_000),
        cohorts=2_000 if options.quick else 10_000,
    )
    run(lambda: measure(form, options.parts, options.json))


if __name__ == "__main__":
    main()
