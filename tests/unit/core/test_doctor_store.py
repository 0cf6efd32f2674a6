"""Figures that no service here can be made to show."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.core.doctor import Finding, Severity
from taskqueue.core.doctor_store import (
    EndlessKeys,
    StoreFacts,
    judge_clock,
    judge_endless_keys,
    judge_memory,
    judge_persistence,
    judge_replicas,
    judge_version,
)

GIB = 1024**3


def facts(**changes: Any) -> StoreFacts:
    fields: dict[str, Any] = {
        "place": "redis:6379",
        "version": (7, 0, 15),
        "mode": "standalone",
        "refused": (),
        "write_refusal": "",
        "info": {},
        "appendfsync": "everysec",
        "ahead_s": 0.0,
    }
    return StoreFacts(**fields | changes)


@pytest.mark.parametrize(
    ("version", "severity"),
    [((6, 2, 14), Severity.FAIL), ((7, 0, 0), Severity.OK), ((8, 2), Severity.OK), ((), Severity.SKIPPED)],
)
def test_redis_6_is_too_old(version: tuple[int, ...], severity: Severity) -> None:
    assert judge_version(facts(version=version)).severity is severity


@pytest.mark.parametrize(
    ("info", "severity"),
    [
        ({"used_memory": 8 * GIB, "maxmemory": 10 * GIB}, Severity.WARN),
        ({"used_memory": 9 * GIB, "maxmemory": 10 * GIB}, Severity.FAIL),
        ({"used_memory": GIB, "maxmemory": 10 * GIB}, Severity.OK),
        ({"used_memory": 9 * GIB, "maxmemory": 0, "total_system_memory": 10 * GIB}, Severity.FAIL),
        ({"used_memory": GIB}, Severity.SKIPPED),
        (None, Severity.SKIPPED),
    ],
)
def test_memory_is_judged_by_what_is_left(info: dict[str, object] | None, severity: Severity) -> None:
    assert judge_memory(facts(info=info)).severity is severity


def replica(**changes: Any) -> Finding:
    fields = {"ip": "10.0.0.2", "port": 6379, "state": "online", "offset": 10**9, "lag": 1} | changes
    info = {"connected_slaves": 1, "slave0": fields, "master_repl_offset": 10**9, "min_replicas_to_write": 0}
    (found,) = judge_replicas(facts(info=info))
    return found


def test_a_replica_in_step_is_well() -> None:
    assert replica().severity is Severity.OK


@pytest.mark.parametrize(
    ("change", "said"), [({"lag": 60}, "silent for 60 s"), ({"offset": 10**9 - 2**27}, "128 MiB behind")]
)
def test_a_replica_that_is_silent_or_behind_is_told(change: dict[str, int], said: str) -> None:
    found = replica(**change)

    assert (found.severity, found.found, found.place) == (Severity.WARN, said, "replica 10.0.0.2:6379")


def test_a_file_that_could_not_be_written_is_told_even_where_there_is_one() -> None:
    found = judge_persistence(facts(info={"aof_enabled": 1, "aof_last_write_status": "err"}))

    assert (found.severity, found.found) == (Severity.FAIL, "aof_last_write_status is err")


def test_who_may_not_ask_is_told_how_to() -> None:
    found = judge_persistence(facts(info=None))

    assert found.severity is Severity.SKIPPED
    assert "+info" in found.remedy


@pytest.mark.parametrize("ahead_s", [-6.0, 6.0])
def test_a_clock_off_by_more_than_five_seconds_is_told(ahead_s: float) -> None:
    assert judge_clock(facts(ahead_s=ahead_s)).severity is Severity.WARN


def test_each_kind_of_endless_keys_is_one_finding() -> None:
    keys = EndlessKeys(looked_at=9, complete=False, endless={"a:*": ("a:1", 3), "b": ("b", 1)})

    assert [finding.found[-1:] for finding in judge_endless_keys(keys, "redis:6379")] == ["3", "1"]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("taskqueue:distribution:lock", "touch nothing"),
        ("taskqueue:worker:*", "redis-cli DEL"),
        ("taskqueue:schedule:lock:*", "redis-cli DEL"),
        ("taskqueue:lane_tail", "redis-cli DEL"),
        ("taskqueue:done:*", "redis-cli EXPIRE"),
    ],
)
def test_what_ends_within_minutes_is_not_given_another_week(kind: str, remedy: str) -> None:
    seen = EndlessKeys(looked_at=1, complete=True, endless={kind: (kind, 1)})

    (found,) = judge_endless_keys(seen, "redis:6379")

    assert remedy in found.remedy
