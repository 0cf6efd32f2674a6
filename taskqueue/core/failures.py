"""What `taskqueue.jobs.failed` holds, read back: which job failed, why, and which failures are the same.

Anybody may put a message there: a worker, whose headers say everything; the broker, which gave a message up; another
system. What cannot be read of a message is left empty, and nothing in it can keep the others from being read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.job import JobMessage
from taskqueue.errors import InvalidValueError, MessageError

REASON_HEADER: Final = "taskqueue-reason"
ERROR_CODE_HEADER: Final = "taskqueue-error-code"
ERROR_MESSAGE_HEADER: Final = "taskqueue-error-message"
ATTEMPTS_HEADER: Final = "taskqueue-attempts"
FAILED_AT_HEADER: Final = "taskqueue-failed-at"
QUEUE_HEADER: Final = "taskqueue-queue"
TASK_HEADER: Final = "taskqueue-task"
METHOD_HEADER: Final = "taskqueue-method"
ENDPOINT_HEADER: Final = "taskqueue-endpoint"
HOST_HEADER: Final = "taskqueue-host"
OUTCOMES_HEADER: Final = "taskqueue-outcomes"

#: what the broker itself says about a message that it moved, and why it moves one into the failed queue
_DEATHS: Final = "x-death"
_DELIVERY_LIMIT: Final = "delivery_limit"

#: more than any header of ours holds; other systems' may be of any size
_MOST_HEADER_CHARS = 8192

_FINGERPRINT_BYTES = 5
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: ids, hashes, numbers and addresses in an error text; two texts that differ in nothing else tell of the same error
_VARYING = re.compile(rf"{_UUID}|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{{8,}}\b|[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One message of the failed queue; texts are empty where it does not say.

    `identity` tells this failure from any other of the same job. `message` is None where the body is no job, and
    `problem` says why. `host` is `scheme://host:port` of the endpoint, `endpoint` the task's with its references
    unresolved. `outcomes` are those of the last attempts: `attempt`, `at`, and `status` or `code`.
    """

    identity: str
    message: JobMessage | None
    problem: str = ""
    job_id: str
    task_id: str
    user_id: str = ""
    reason: str
    code: str
    detail: str = ""
    attempts: int | None = None
    failed_at: datetime | None = None
    queue: str = ""
    method: str = ""
    endpoint: str = ""
    host: str = ""
    outcomes: Sequence[Mapping[str, object]] = ()

    @property
    def fingerprint(self) -> str:
        """Ten hex digits, the same for failures of one task at one host with the same error, whatever ids it names."""
        kind = "\n".join((self.task_id, self.host, self.code, _VARYING.sub("0", self.detail)))
        return hashlib.blake2b(kind.encode(errors="replace"), digest_size=_FINGERPRINT_BYTES).hexdigest()

    def without_message(self) -> Failure:
        """Return it without the job, for whoever keeps many: a payload may have megabytes."""
        return replace(self, message=None)

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object, without the job's payload; what there is not is left out."""
        fields: dict[str, object] = {
            "job_id": self.job_id,
            "task": self.task_id,
            "user_id": self.user_id,
            "reason": self.reason,
            "code": self.code,
            "message": self.detail,
            "fingerprint": self.fingerprint,
            "attempts": self.attempts,
            "failed_at": None if self.failed_at is None else rfc3339(self.failed_at),
            "queue": self.queue,
            "method": self.method,
            "endpoint": self.endpoint,
            "host": self.host,
            "outcomes": list(self.outcomes),
            "problem": self.problem,
        }
        return {name: value for name, value in fields.items() if value not in (None, "", [])}


def read_failure(body: bytes, message_id: str | None, headers: Mapping[str, object]) -> Failure:
    """Return what the message tells; raises nothing, whoever wrote it."""
    try:
        message, problem = decode_message(body, MAX_STORED_BYTES), ""
    except MessageError as error:
        message, problem = None, str(error)
    job = None if message is None else message.job
    death = _given_up(headers)
    failed_at = _instant(_text(headers, FAILED_AT_HEADER)) or death.at
    endpoint = _text(headers, ENDPOINT_HEADER)
    attempts = headers.get(ATTEMPTS_HEADER)
    return Failure(
        identity=_identity(body, failed_at),
        message=message,
        problem=problem,
        job_id=job.id if job is not None else message_id or "",
        task_id=job.task_type_id if job is not None else _text(headers, TASK_HEADER),
        user_id=job.user_id if job is not None else "",
        reason=_text(headers, REASON_HEADER) or death.reason,
        code=_text(headers, ERROR_CODE_HEADER) or death.reason,
        detail=_text(headers, ERROR_MESSAGE_HEADER),
        attempts=attempts if type(attempts) is int else None,  # True is an int as well
        failed_at=failed_at,
        queue=_text(headers, QUEUE_HEADER) or death.queue,
        method=_text(headers, METHOD_HEADER),
        endpoint=endpoint,
        host=_text(headers, HOST_HEADER),
        outcomes=_outcomes(_text(headers, OUTCOMES_HEADER)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which failures are meant: those that are in every set that is not empty, and in the time from `since` to `until`.

    A failure whose time is not known lies in no time.
    """

    tasks: Collection[str] = ()
    hosts: Collection[str] = ()
    reasons: Collection[str] = ()
    codes: Collection[str] = ()
    fingerprints: Collection[str] = ()
    users: Collection[str] = ()
    jobs: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, failure: Failure) -> bool:
        """Return whether `failure` is meant."""
        asked = (
            (self.tasks, failure.task_id),
            (self.reasons, failure.reason),
            (self.codes, failure.code),
            (self.users, failure.user_id),
            (self.jobs, failure.job_id),
        )
        if any(wanted and found not in wanted for wanted, found in asked):
            return False
        if self.hosts and not _named_hosts(failure.host).intersection(self.hosts):
            return False
        # Last, for it has to be computed.
        in_time = self._in_time(failure.failed_at)
        return in_time and (not self.fingerprints or failure.fingerprint in self.fingerprints)

    def _in_time(self, failed_at: datetime | None) -> bool:
        if self.since is None and self.until is None:
            return True
        if failed_at is None:
            return False
        return (self.since is None or failed_at >= self.since) and (self.until is None or failed_at <= self.until)


@dataclass(slots=True, kw_only=True)
class FailureGroup:
    """Failures with one fingerprint: how many, when the first and the last failed, and one of them, without its job."""

    example: Failure
    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, failure: Failure) -> None:
        """Count one more; the newest is the example."""
        self.count += 1
        at = failure.failed_at
        if at is None:
            return
        self.oldest = at if self.oldest is None else min(at, self.oldest)
        if self.newest is None or at >= self.newest:
            self.newest, self.example = at, failure.without_message()


@dataclass(slots=True, kw_only=True)
class FailureGroups:
    """Failures counted by fingerprint, of at most `most` kinds; `others` is how many are of further kinds."""

    most: int = 10_000
    total: int = 0
    others: int = 0
    by_fingerprint: dict[str, FailureGroup] = field(default_factory=dict)

    def add(self, failure: Failure) -> None:
        """Count `failure`."""
        self.total += 1
        group = self.by_fingerprint.get(failure.fingerprint)
        if group is None:
            if len(self.by_fingerprint) >= self.most:
                self.others += 1
                return
            group = self.by_fingerprint[failure.fingerprint] = FailureGroup(example=failure.without_message())
        group.add(failure)

    def largest_first(self) -> list[FailureGroup]:
        """Return the groups, those with the most failures first."""
        return sorted(self.by_fingerprint.values(), key=lambda group: (-group.count, group.example.fingerprint))


# --- headers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    """What the broker says of a message that it gave up."""

    reason: str = ""
    queue: str = ""
    at: datetime | None = None


def _given_up(headers: Mapping[str, object]) -> _Death:
    deaths = headers.get(_DEATHS)
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, Mapping) and death.get("reason") == _DELIVERY_LIMIT:
            at = death.get("time")
            return _Death(
                reason=_DELIVERY_LIMIT,
                queue=_text(death, "queue"),
                at=_in_utc(at) if isinstance(at, datetime) else None,
            )
    return _Death()


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if isinstance(value, bytes | bytearray):
        value = value.decode(errors="replace")
    return value[:_MOST_HEADER_CHARS] if isinstance(value, str) else ""


def _instant(text: str) -> datetime | None:
    try:
        return parse_rfc3339(text) if text else None
    except InvalidValueError:
        return None


def _outcomes(text: str) -> Sequence[Mapping[str, object]]:
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    return tuple(each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()


def _identity(body: bytes, failed_at: datetime | None) -> str:
    return rfc3339(failed_at) if failed_at is not None else hashlib.blake2b(body, digest_size=16).hexdigest()


def _named_hosts(host: str) -> set[str]:
    """Return the ways to name a host: `https://api.example.com:443`, `api.example.com:443` and `api.example.com`."""
    with_port = host.rpartition("://")[2]
    return {host, with_port, with_port.rpartition(":")[0]}
