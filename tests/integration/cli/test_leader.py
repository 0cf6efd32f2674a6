from __future__ import annotations

import json

import pytest
import redis

from tests.support.commands import run_here

LEASE = "taskqueue:distribution:lock"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code, out, _ = run_here(capsys, "leader", "show", *arguments)
    return code, out


def beat(store: redis.Redis, instance: str, leading_since: str | None = None) -> None:
    """Let a scheduler have shown itself now."""
    store.zadd("taskqueue:fleet:schedulers", {f"{instance}:aa": int(store.time()[0]) * 1000})
    status = {"instance_id": instance, "leading_since": leading_since, "uptime": 5}
    store.hset("taskqueue:fleet:schedulers:status", f"{instance}:aa", json.dumps(status))


def test_the_leader_is_shown_with_since_when_and_who_stands_by(
    store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    beat(store, "scheduler-1", "2024-01-15T10:00:00Z")
    beat(store, "scheduler-2")
    store.set(LEASE, "scheduler-1:0123456789abcdef", px=9000)

    code, out = shown(capsys)

    leader = json.loads(out)
    assert 5 < leader.pop("lease_remaining_s") <= 9
    assert (code, leader) == (
        0,
        {"leader": "scheduler-1", "leading_since": "2024-01-15T10:00:00Z", "followers": ["scheduler-2"]},
    )


def test_a_holder_of_the_lease_that_has_fallen_silent_is_shown_without_since_when(
    store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    store.set(LEASE, "scheduler-1:0123456789abcdef", px=9000)

    code, out = shown(capsys)

    assert (code, json.loads(out)["leader"], json.loads(out)["leading_since"]) == (0, "scheduler-1", None)


def test_without_a_leader_it_is_exit_1(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    beat(store, "scheduler-1")

    code, out = shown(capsys, "-o", "table")

    assert code == 1
    assert out.splitlines() == [
        "leader             nobody",
        "leading since",
        "lease remaining s",
        "followers          scheduler-1",
    ]
