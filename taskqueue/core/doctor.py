"""What `taskqueue doctor` looks at, and how it says what it found. Judging is pure: facts in, findings out.

The judgements are in `doctor_broker`, `doctor_consumers`, `doctor_store` and `doctor_system`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    #: works, but not as it should, or not for long
    WARN = "warn"
    #: jobs are lost, late or not run, or will be
    FAIL = "fail"
    #: could not be looked at; the finding says why
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is looked at; `id` never changes. `remedy` is what helps where a finding names nothing nearer."""

    id: str
    asks: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found at one place. `remedy` is empty where nothing is to be done."""

    check: str
    severity: Severity
    place: str
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "place": self.place,
            "found": self.found,
            "remedy": self.remedy,
        }


#: every check, in the order in which findings are shown
CHECKS: Final = (
    Check(
        id="rabbitmq-reachable",
        asks="Does RabbitMQ answer and let us in?",
        remedy="start RabbitMQ, mend the network to it, or correct queue.url",
    ),
    Check(
        id="rabbitmq-management",
        asks="Does the management API that --management names answer?",
        remedy="give --management URL, with a user that has the tag monitoring",
    ),
    Check(
        id="rabbitmq-version",
        asks="Is RabbitMQ new enough?",
        remedy="upgrade RabbitMQ to 3.12.5 or later; a single node may stay on 3.10",
    ),
    Check(
        id="rabbitmq-alarms",
        asks="Does RabbitMQ take messages, or has it too little memory or disk?",
        remedy="free memory or disk on the node (rabbitmq-diagnostics alarms names it); publishing goes on by itself",
    ),
    Check(
        id="rabbitmq-permissions",
        asks="May this user publish?",
        remedy="rabbitmqctl set_permissions; docs/amqp.md has the rights of each user",
    ),
    Check(
        id="rabbitmq-queues",
        asks="Are all exchanges and queues there, with our arguments?",
        remedy="taskqueue topology apply --config FILE, the one that doctor was given; "
        "a queue that differs must first run empty and be deleted",
    ),
    Check(
        id="rabbitmq-bindings",
        asks="Do all routing keys lead to their queues?",
        remedy="taskqueue topology apply --config FILE, the one that doctor was given",
    ),
    Check(
        id="rabbitmq-policies",
        asks="Does a policy change what our queues do?",
        remedy="rabbitmqctl clear_policy or clear_operator_policy, or a pattern that spares ^taskqueue",
    ),
    Check(
        id="rabbitmq-dead-lettering",
        asks="Does a message come out of the delayed queue again?",
        remedy="look at the findings of queues, bindings and policies first; then for a ready queue without a quorum",
    ),
    Check(
        id="rabbitmq-lane",
        asks="Do jobs leave the delayed queue when they are due?",
        remedy="look for a full ready queue or one without a quorum; docs/runbook.md, lane_stuck",
    ),
    Check(
        id="rabbitmq-consumers",
        asks="Does somebody take the jobs of every ready queue?",
        remedy="start taskqueue worker; of one that runs, the log says whether it gets to RabbitMQ",
    ),
    Check(
        id="rabbitmq-consumer-timeout",
        asks="May a worker hold a message for as long as the longest call takes?",
        remedy="set consumer_timeout in rabbitmq.conf to 1800000, its default: twice the longest timeout there may be",
    ),
    Check(
        id="rabbitmq-failed-jobs",
        asks="Did jobs fail for good?",
        remedy="taskqueue failed stats says which and why; taskqueue failed replay runs them again",
    ),
    Check(
        id="redis-reachable",
        asks="Does Redis answer as the primary and let us in?",
        remedy="start Redis, mend the network to it, or correct redis.addresses, redis.username and redis.password",
    ),
    Check(
        id="redis-version",
        asks="Is Redis new enough?",
        remedy="upgrade Redis to 7.0 or later",
    ),
    Check(
        id="redis-cluster",
        asks="Is it a plain Redis, and no Redis Cluster?",
        remedy="use a single primary, with replicas as you like: our scripts touch keys of several nodes of a cluster",
    ),
    Check(
        id="redis-writes",
        asks="Does Redis take writes?",
        remedy="do what Redis says in the finding",
    ),
    Check(
        id="redis-permissions",
        asks="Has the Redis user the rights that schedulers and workers need?",
        remedy="ACL SETUSER as docs/redis.md, Rights, has it",
    ),
    Check(
        id="redis-persistence",
        asks="Does Redis write to disk what it is told?",
        remedy="redis-cli CONFIG SET appendonly yes, then CONFIG SET appendfsync everysec, then CONFIG REWRITE; "
        "without a configuration file, which that needs: the same where Redis is started",
    ),
    Check(
        id="redis-eviction",
        asks="Does Redis keep all keys when memory runs short?",
        remedy="redis-cli CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE; "
        "without a configuration file, which that needs: the same where Redis is started",
    ),
    Check(
        id="redis-memory",
        asks="Has Redis memory left?",
        remedy="raise maxmemory, or lower execution.max_response_bytes; docs/redis.md, Persistence, memory, failover",
    ),
    Check(
        id="redis-replicas",
        asks="Do the replicas keep up?",
        remedy="mend the replica or the network to it; INFO replication names it",
    ),
    Check(
        id="redis-clock",
        asks="Do the clocks of this host and of Redis agree?",
        remedy="mend the time service of the one that is wrong; docs/operations.md, Clocks",
    ),
    Check(
        id="redis-keys-without-ttl",
        asks="Does every key end that should?",
        remedy="find out who wrote or persisted it (a restore, a tool), then redis-cli EXPIRE KEY 604800",
    ),
    Check(
        id="redis-key-types",
        asks="Does each of our own keys hold what it should?",
        remedy="see who writes there, then remove it: redis-cli DEL KEY",
    ),
    Check(
        id="schedulers",
        asks="Do schedulers run, more than one?",
        remedy="start taskqueue scheduler on two hosts",
    ),
    Check(
        id="leader",
        asks="Does one of them lead?",
        remedy="start a scheduler, or look for connection_lost in the logs of those that run",
    ),
    Check(
        id="workers",
        asks="Do workers run, and did none just vanish?",
        remedy="start taskqueue worker; the log of one that vanished says why",
    ),
    Check(
        id="tasks-file",
        asks="Is tasks.yaml in force as it stands here?",
        remedy="wait for 10 s after a change, then look at the leader's /health; give all schedulers the same file",
    ),
    Check(
        id="references",
        asks="Can the secrets that tasks refer to be read here?",
        remedy="if workers run on this host: set the variable, or let their user read the file, and start them anew",
    ),
    Check(
        id="limits",
        asks="Can the users of each task be called within its window?",
        remedy="raise the limit, widen distribution_window, or let the task run less often; see taskqueue plan",
    ),
)

CHECKS_BY_ID: Final[Mapping[str, Check]] = MappingProxyType({check.id: check for check in CHECKS})

_ORDER: Final = {check.id: number for number, check in enumerate(CHECKS)}


def ok(check: str, place: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, severity=Severity.OK, place=place, found=found)


def skipped(check: str, place: str, why: str, remedy: str = "") -> Finding:
    """Return why the check could not be made; `remedy` is how it could."""
    return Finding(check=check, severity=Severity.SKIPPED, place=place, found=why, remedy=remedy)


def warn(check: str, place: str, found: str, remedy: str = "") -> Finding:
    """Return what is not as it should be, with the check's own remedy when none is given."""
    return _problem(Severity.WARN, check, place, found, remedy)


def fail(check: str, place: str, found: str, remedy: str = "") -> Finding:
    """Return what costs jobs, with the check's own remedy when none is given."""
    return _problem(Severity.FAIL, check, place, found, remedy)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in the order of CHECKS, those of one check as they came."""
    return sorted(findings, key=lambda finding: _ORDER[finding.check])


def worst(findings: Iterable[Finding]) -> Severity:
    """Return FAIL, WARN or OK: the worst there is. What was skipped says nothing."""
    severities = {finding.severity for finding in findings}
    return next((each for each in (Severity.FAIL, Severity.WARN) if each in severities), Severity.OK)


def _problem(severity: Severity, check: str, place: str, found: str, remedy: str) -> Finding:
    return Finding(
        check=check, severity=severity, place=place, found=found, remedy=remedy or CHECKS_BY_ID[check].remedy
    )
