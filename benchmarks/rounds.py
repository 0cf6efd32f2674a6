"""Two things measured turn by turn, so that what disturbs the machine disturbs both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from statistics import median

Measure = Callable[[], Awaitable[float]]


async def compare(unit: str, ours: tuple[str, Measure], other: tuple[str, Measure], *, rounds: int = 5) -> None:
    """Print each side's median and rounds in `unit`, and the ratio of ours to the other."""
    results: dict[str, list[float]] = {ours[0]: [], other[0]: []}
    for _ in range(rounds):
        for name, measure in (ours, other):
            results[name].append(await measure())
    for name, figures in results.items():
        each = "  ".join(f"{figure:,.0f}" for figure in figures)
        print(f"  {name:<46} {median(figures):>10,.0f} {unit}   rounds: {each}")
    print(f"  ratio {median(results[ours[0]]) / median(results[other[0]]):.2f}\n")
