"""What the facts about Redis mean. The demands are those of docs/redis.md, Persistence, memory, failover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from taskqueue.core.doctor import Finding, fail, ok, skipped, warn

OLDEST: Final = (7, 0)

#: seconds; docs/operations.md, Clocks
CLOCKS_DIFFER_S: Final = 5.0
#: seconds without a word of a replica
REPLICA_SILENT_S: Final = 10
#: bytes of the log of writes that a replica lacks
REPLICA_BEHIND_BYTES: Final = 64 * 1024 * 1024
MEMORY_WARN, MEMORY_FAIL = 0.75, 0.9

_ASK_AS_ADMIN: Final = (
    "run doctor with TASKQUEUE_REDIS__USERNAME and TASKQUEUE_REDIS__PASSWORD_FILE of a user with +info +config|get"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndlessKeys:
    """What a look at keys found: `endless` by kind, an example and how many. `complete`: every key was looked at."""

    looked_at: int
    complete: bool
    endless: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongType:
    """A key that holds another type than it should, both as TYPE calls them."""

    key: str
    held: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What Redis said. `info` is what INFO tells, None for a user who may not ask; `place` is host:port.

    `refused` are rights that the user lacks; `write_refusal` is why nothing can be written, empty where it can.
    """

    place: str
    version: tuple[int, ...]
    mode: str
    refused: tuple[str, ...]
    write_refusal: str
    info: Mapping[str, object] | None
    appendfsync: str | None
    ahead_s: float


def judge_version(facts: StoreFacts) -> Finding:
    """Judge the version."""
    check, version = "redis-version", ".".join(map(str, facts.version))
    if not facts.version:
        return skipped(check, facts.place, "Redis does not say which version it is")
    if facts.version < OLDEST:
        return fail(check, facts.place, f"{version}: our scripts end with errors that it does not pass on")
    return ok(check, facts.place, version)


def judge_cluster(facts: StoreFacts) -> Finding:
    """Judge the mode."""
    if facts.mode != "standalone":
        return fail("redis-cluster", facts.place, f"runs as {facts.mode}")
    return ok("redis-cluster", facts.place, "a plain Redis")


def judge_writes(facts: StoreFacts) -> Finding:
    """Judge whether writes are taken."""
    if facts.write_refusal:
        return fail("redis-writes", facts.place, facts.write_refusal)
    return ok("redis-writes", facts.place, "takes them")


def judge_permissions(facts: StoreFacts) -> Finding:
    """Judge what the user was refused."""
    if facts.refused:
        return fail("redis-permissions", facts.place, f"this user may not: {', '.join(facts.refused)}")
    return ok("redis-permissions", facts.place, "all that is needed")


def judge_persistence(facts: StoreFacts) -> Finding:
    """Judge what would be left after a power loss."""
    check = "redis-persistence"
    if facts.info is None:
        return skipped(check, facts.place, "this user may not ask", _ASK_AS_ADMIN)
    wrong = [
        f"{name} is {value}"
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if (value := facts.info.get(name)) not in {"ok", None}
    ]
    if wrong:
        return fail(check, facts.place, ", ".join(wrong), "free disk space on its host, and look at the log of Redis")
    if not _number(facts.info, "aof_enabled"):
        what = "no append-only file: a crash loses what was written since the last snapshot, or everything without one"
        return fail(check, facts.place, what)
    if facts.appendfsync == "no":
        return warn(check, facts.place, "appendfsync no: a power loss can cost half a minute instead of a second")
    return ok(check, facts.place, f"append-only file, appendfsync {facts.appendfsync or 'not known'}")


def judge_eviction(facts: StoreFacts) -> Finding:
    """Judge the policy; one that evicts is harmless only until somebody sets a maxmemory."""
    check = "redis-eviction"
    if facts.info is None:
        return skipped(check, facts.place, "this user may not ask", _ASK_AS_ADMIN)
    policy = str(facts.info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return ok(check, facts.place, policy)
    what = f"maxmemory-policy {policy}: claims, plans and waiting jobs are deleted when memory runs short"
    if _number(facts.info, "maxmemory"):
        return fail(check, facts.place, what)
    return warn(check, facts.place, f"{what}; no maxmemory is set yet")


def judge_memory(facts: StoreFacts) -> Finding:
    """Judge how much is left: of maxmemory, or else of the host."""
    check = "redis-memory"
    if facts.info is None:
        return skipped(check, facts.place, "this user may not ask", _ASK_AS_ADMIN)
    used, most, whose = _number(facts.info, "used_memory"), _number(facts.info, "maxmemory"), "maxmemory"
    if not most:
        most, whose = _number(facts.info, "total_system_memory"), "the host's memory (no maxmemory is set)"
    if not most:
        return skipped(check, facts.place, "Redis does not say how much there is")
    found = f"{used / 1024**2:.0f} MiB used, {used / most:.0%} of {whose}"
    if used >= MEMORY_FAIL * most:
        return fail(check, facts.place, f"{found}: writes are refused when it is full")
    return warn(check, facts.place, found) if used >= MEMORY_WARN * most else ok(check, facts.place, found)


def judge_replicas(facts: StoreFacts) -> Iterator[Finding]:
    """Judge each replica by its state and by what it lacks, and whether there are as many as Redis wants."""
    check = "redis-replicas"
    if facts.info is None:
        yield skipped(check, facts.place, "this user may not ask", _ASK_AS_ADMIN)
        return
    written, count = _number(facts.info, "master_repl_offset"), int(_number(facts.info, "connected_slaves"))
    bad = []
    for number in range(count):
        replica = facts.info.get(f"slave{number}")
        if isinstance(replica, Mapping) and (problem := _replica_problem(replica, written)):
            bad.append(warn(check, f"replica {replica.get('ip')}:{replica.get('port')}", problem))
    yield from bad
    wanted = _number(facts.info, "min_replicas_to_write")
    if _number(facts.info, "min_slaves_good_slaves") < wanted:
        remedy = "bring replicas back, or redis-cli CONFIG SET min-replicas-to-write lower"
        yield fail(check, facts.place, f"fewer than the {wanted:.0f} replicas without which writes are refused", remedy)
    elif not bad:
        yield ok(check, facts.place, f"in step: {count}" if count else "none")


def _replica_problem(replica: Mapping[str, object], written: float) -> str:
    if replica.get("state") != "online":
        return f"state {replica.get('state')}"
    if (lag := _number(replica, "lag")) > REPLICA_SILENT_S:
        return f"silent for {lag:.0f} s"
    behind = written - _number(replica, "offset")
    return f"{behind / 1024**2:.0f} MiB behind" if behind > REPLICA_BEHIND_BYTES else ""


def judge_clock(facts: StoreFacts) -> Finding:
    """Judge this host's clock against Redis's, which all others go by."""
    way = "ahead of" if facts.ahead_s > 0 else "behind"
    found = f"this host's clock is {abs(facts.ahead_s):.1f} s {way} that of Redis"
    if abs(facts.ahead_s) > CLOCKS_DIFFER_S:
        return warn("redis-clock", facts.place, found)
    return ok("redis-clock", facts.place, found)


_DELETE_WHEN_GONE: Final = "redis-cli DEL KEY, once the process that wrote it is known to be gone"

#: where the check's own remedy, an end of a week, would do harm: all of these end within minutes
_ENDLESS_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "taskqueue:distribution:lock": "start a scheduler, and touch nothing: it gives the lease an end",
        "taskqueue:schedule:lock:*": _DELETE_WHEN_GONE,
        "taskqueue:worker:*": _DELETE_WHEN_GONE,
        "taskqueue:lane_tail": _DELETE_WHEN_GONE,
    }
)


def judge_endless_keys(keys: EndlessKeys, place: str) -> Iterator[Finding]:
    """Judge keys that stay for ever and should not."""
    check = "redis-keys-without-ttl"
    for kind, (example, count) in keys.endless.items():
        remedy = _ENDLESS_REMEDIES.get(kind, "")
        yield warn(check, f"{place}: {example}", f"keys of the kind {kind} that never end: {count}", remedy)
    if not keys.endless:
        scope = "all keys" if keys.complete else f"the first {keys.looked_at} keys (--full looks at all)"
        yield ok(check, place, f"every one that should end does, of {scope}")


def judge_key_types(wrong: Sequence[WrongType], place: str) -> Iterator[Finding]:
    """Judge keys whose readers and writers all fail."""
    check = "redis-key-types"
    for each in wrong:
        yield fail(
            check,
            f"{place}: {each.key}",
            f"is a {each.held} and should be a {each.wanted}",
            f"see who writes there, then remove it: redis-cli DEL {each.key}",
        )
    if not wrong:
        yield ok(check, place, "every one of the fixed names does")


def _number(info: Mapping[str, object], name: str) -> float:
    value = info.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
