"""Two cores, one for what is measured and one for everything around it, and what the processes on the first one use."""

from __future__ import annotations

import asyncio
import os
import time
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """`measured` is the core of the worker or client, `around` that of RabbitMQ, Redis, nginx and this process."""

    measured: int
    around: int

    def command(self, *words: str) -> tuple[str, ...]:
        """Return `words` as a command that runs on the measured core."""
        return "taskset", "--cpu-list", str(self.measured), *words


def take_cores() -> Cores:
    """Leave the first of this process's cores to what is measured, also with what it starts from here on.

    Raises SystemExit without two cores, or Linux.
    """
    try:
        cores = sorted(os.sched_getaffinity(0))
    except AttributeError:
        raise SystemExit("this benchmark needs Linux: it gives a core to the worker and another to the rest") from None
    if len(cores) < 2:
        raise SystemExit("this benchmark needs two cores: one for the worker, one for the services; nothing measured")
    os.sched_setaffinity(0, {cores[1]})
    return Cores(measured=cores[0], around=cores[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process used with its children: seconds of processor time, memory in MB (10⁶ bytes), its highest.

    `others_s` are the seconds that anybody else took of its core meanwhile, `around_s` those for which the other core
    was busy.
    """

    cpu_s: float
    memory_mb: float
    others_s: float
    around_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at: float
    cpu_s: float
    memory_mb: float
    measured_s: float
    around_s: float


class Watch:
    """Looks at a process and its children fifty times a second, from `async with` on."""

    def __init__(self, pid: int, cores: Cores) -> None:
        self._pid = pid
        self._cores = cores
        self._samples: list[_Sample] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def used(self, first_at: float, last_at: float) -> Usage:
        """Return what was used between two instants, unix seconds. Raises SystemExit when one is not in the watch."""
        if not self._samples or not self._samples[0].at <= first_at <= last_at <= self._samples[-1].at:
            raise SystemExit(f"process {self._pid} was not watched all the time; nothing is known of what it used")
        first, last = self._at(first_at), self._at(last_at)
        cpu_s = last.cpu_s - first.cpu_s
        return Usage(
            cpu_s=cpu_s,
            memory_mb=max(sample.memory_mb for sample in self._samples),
            others_s=max(0.0, last.measured_s - first.measured_s - cpu_s),
            around_s=last.around_s - first.around_s,
        )

    async def _look(self) -> None:
        while sample := _sample(self._pid, self._cores):
            self._samples.append(sample)
            await asyncio.sleep(_SAMPLE_EVERY_S)

    def _at(self, instant: float) -> _Sample:
        """Return what would have been seen at `instant`, on the line between the two samples around it."""
        place = min(max(1, bisect_left(self._samples, instant, key=lambda sample: sample.at)), len(self._samples) - 1)
        before, after = self._samples[place - 1], self._samples[place]
        share = min(1.0, max(0.0, (instant - before.at) / (after.at - before.at)))
        return _Sample(
            at=instant,
            cpu_s=before.cpu_s + share * (after.cpu_s - before.cpu_s),
            memory_mb=after.memory_mb,
            measured_s=before.measured_s + share * (after.measured_s - before.measured_s),
            around_s=before.around_s + share * (after.around_s - before.around_s),
        )


def _sample(pid: int, cores: Cores) -> _Sample | None:
    """Return how things stand now; None once the process is gone."""
    found = [each for each in map(_used_by, _with_children(pid)) if each is not None]
    if not found:
        return None
    second, busy = os.sysconf("SC_CLK_TCK"), _busy_ticks()
    return _Sample(
        at=time.time(),
        cpu_s=sum(ticks for ticks, _ in found) / second,
        memory_mb=sum(pages for _, pages in found) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        measured_s=busy[cores.measured] / second,
        around_s=busy[cores.around] / second,
    )


def _used_by(pid: int) -> tuple[int, int] | None:
    """Return the clock ticks of one process, and its resident pages (proc(5), /proc/PID/stat); None once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[11]) + int(fields[12]), int(fields[21])


def _with_children(pid: int) -> list[int]:
    found = [pid]
    for each in found:  # grows meanwhile, by the children of those already found
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text(encoding="ascii").split())
    return found


def _busy_ticks() -> dict[int, int]:
    """Return the clock ticks for which each core was busy since the machine started (proc(5), /proc/stat)."""
    busy: dict[int, int] = {}
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *rest = line.split()
        if name.startswith("cpu") and name != "cpu":
            # user, nice, system, idle, iowait, irq, softirq, steal
            times = [int(text) for text in rest[:8]]
            busy[int(name.removeprefix("cpu"))] = sum(times) - times[3] - times[4]
    return busy
