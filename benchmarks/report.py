"""What a benchmark found: lines for people as it goes, and all of it as JSON at the end."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from taskqueue.store.connection import RedisStore

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure is to reach: at most `bound`, or at least it."""

    bound: float
    at_least: bool = False

    def reached(self, value: float) -> bool:
        """Return whether `value` is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound

    def told(self, value: float) -> str:
        """Return the goal and how `value` stands to it, for people."""
        verdict = "reached" if self.reached(value) else "MISSED"
        return f"  target {'≥' if self.at_least else '≤'} {plain(self.bound)}: {verdict}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result. `rounds` are the single measurements of which `value` is the median, where there are several."""

    part: str
    name: str
    value: float
    unit: str
    target: float | None = None
    reached: bool | None = None
    rounds: tuple[float, ...] = ()
    note: str = ""


@dataclass(slots=True)
class Report:
    """Collects figures and prints each at once."""

    machine: Mapping[str, str]
    figures: list[Figure] = field(default_factory=list)
    _part: str = ""

    def part(self, title: str) -> None:
        """Begin a part; the figures that follow belong to it."""
        self._part = title
        print(f"\n{title}", flush=True)

    def say(self, text: str) -> None:
        """Print what is no figure."""
        print(f"  {text}", flush=True)

    def figure(self, name: str, value: float, unit: str, goal: Goal | None = None, *, note: str = "") -> None:
        """Add one figure."""
        self._add(name, value, unit, goal, rounds=(), note=note)

    async def compare(
        self, unit: str, sides: Mapping[str, Measure], *, rounds: int = 5, lower_is_better: bool = False
    ) -> dict[str, float]:
        """Measure all `sides` in turn, `rounds` times, and add the median of each.

        Return the medians by side. The best of the rounds is told as well: on a shared machine it is nearest the truth.
        """
        results: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, measure in sides.items():
                results[name].append(await measure())
        for name, each in results.items():
            self.rounds(name, each, unit, lower_is_better=lower_is_better)
        return {name: median(each) for name, each in results.items()}

    def rounds(
        self, name: str, each: Sequence[float], unit: str, goal: Goal | None = None, *, lower_is_better: bool = False
    ) -> None:
        """Add the median of what was measured in several rounds; the best of them is told as well."""
        best = min(each) if lower_is_better else max(each)
        self._add(name, median(each), unit, goal, rounds=tuple(each), note=f"best {plain(best)}")

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        document = {"machine": dict(self.machine), "figures": [asdict(figure) for figure in self.figures]}
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _add(
        self, name: str, value: float, unit: str, goal: Goal | None, *, rounds: tuple[float, ...], note: str
    ) -> None:
        found = Figure(
            part=self._part,
            name=name,
            value=value,
            unit=unit,
            target=None if goal is None else goal.bound,
            reached=None if goal is None else goal.reached(value),
            rounds=rounds,
            note=note,
        )
        self.figures.append(found)
        verdict = "" if goal is None else goal.told(value)
        print(f"  {name:<56} {plain(value):>11} {unit:<8}{verdict}{f'  ({note})' if note else ''}", flush=True)


def plain(value: float) -> str:
    """Return a number as people read it: three figures or so, thousands apart."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    cpu = next((line.partition(":")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory_kib = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": f"{os.cpu_count()} x {cpu.strip() or platform.machine()}",
        "memory": f"{int(memory_kib) / 2**20:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


async def machine_of(store: RedisStore, rabbitmq_version: str) -> dict[str, str]:
    """Return what the figures were measured on, with the services."""
    server = await store.command("INFO", "server")
    redis = str(server.get("redis_version", "?")) if isinstance(server, dict) else _field(server, "redis_version")
    return {**machine(), "redis": redis, "rabbitmq": rabbitmq_version}


def _field(text: object, name: str) -> str:
    whole = text.decode() if isinstance(text, bytes) else str(text)
    return next((line.partition(":")[2] for line in whole.splitlines() if line.startswith(f"{name}:")), "?")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
