"""The benchmark of the storage at a size that takes a few seconds: that it runs, and that its figures are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from taskqueue.dev.services import Redis

PROGRAM = Path(__file__).resolve().parents[3] / "benchmarks" / "api.py"


def test_the_benchmark_measures_a_few_thousand_tasks_and_leaves_nothing(
    redis_server: Redis, redis_db: int, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "TASKQUEUE_REDIS__ADDRESSES": json.dumps([redis_server.address]),
        "TASKQUEUE_REDIS__PASSWORD": redis_server.password,
        "TASKQUEUE_REDIS__DB": str(redis_db),
    }
    figures = tmp_path / "figures.json"
    words = [sys.executable, str(PROGRAM), "--tasks", "3000", "--calls", "3", "--json", str(figures)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=100)
    told = json.loads(figures.read_text(encoding="utf-8"))["figures"]
    assert {"get", "create", "list by all: last page of 3,000"} <= {figure["name"] for figure in told}
    assert all(figure["value"] > 0 for figure in told)
