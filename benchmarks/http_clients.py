"""Requests per second of the worker's own HTTP client on one core, beside aiohttp and pyreqwest."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cores import Cores, take_cores
from endpoint import Endpoint, nginx
from peers import PEERS_PYTHON, peer_environment
from report import Report, machine

_HERE = Path(__file__).resolve().parent

_LONGEST_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A client of `http_client_process.py`, and the Python that has it."""

    name: str
    client: str
    python: Path


#: the worker's environment, and that of the peers, which has both clients in the same
_SIDES = (
    Side(name="the worker's own", client="caller", python=Path(sys.executable)),
    Side(name="aiohttp", client="aiohttp", python=PEERS_PYTHON),
    Side(name="pyreqwest", client="pyreqwest", python=PEERS_PYTHON),
)


def measure(endpoint: Endpoint, cores: Cores, requests: int, rounds: int, result: Path | None) -> None:
    """Run every client in turn, round by round, and tell how they compare."""
    report = Report(machine=machine())
    print(f"HTTP clients, {requests:,} requests, 100 at a time; " + ", ".join(report.machine.values()))
    report.part(f"POST of 220 B, kept-alive connections, {rounds} rounds")
    costs: dict[str, list[dict[str, float]]] = {side.name: [] for side in _SIDES if side.python.exists()}
    for _ in range(rounds):
        for side in _SIDES:
            if side.name in costs:
                costs[side.name].append(_run(endpoint, cores, side, requests))
    for name, each in costs.items():
        report.rounds(name, [cost["requests_per_s"] for cost in each], "req/s")
    for name, each in costs.items():
        report.rounds(f"{name}, processor time", _cpu(each), "µs/req", lower_is_better=True)
    ours, *others = costs
    for name in others:
        ratios = [theirs / own for theirs, own in zip(_cpu(costs[name]), _cpu(costs[ours]), strict=True)]
        report.rounds(f"processor time of its request over the worker's, {name}", ratios, "times")
    if result is not None:
        report.write(result)


def _cpu(each: Sequence[dict[str, float]]) -> list[float]:
    return [cost["cpu_us"] for cost in each]


def _run(endpoint: Endpoint, cores: Cores, side: Side, requests: int) -> dict[str, float]:
    endpoint.clear()
    words = (str(side.python), str(_HERE / "http_client_process.py"), side.client, endpoint.url, str(requests))
    environ = peer_environment(os.environ) if side.python == PEERS_PYTHON else dict(os.environ)
    done = subprocess.run(cores.command(*words), env=environ, capture_output=True, check=False, timeout=_LONGEST_S)
    if done.returncode:
        raise SystemExit(f"{side.name}:\n{done.stderr.decode(errors='replace')[-3000:]}")
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="of each client in a round: 20,000")
    parser.add_argument("--rounds", type=int, default=5, help="each client once in a round: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    cores = take_cores()
    with nginx(os.environ, print) as endpoint:
        measure(endpoint, cores, options.requests, options.rounds, options.json)


if __name__ == "__main__":
    main()
