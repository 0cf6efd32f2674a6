"""How failures are shown: groups and lists as tables, one as a JSON object with all that there is."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime

import typer

from taskqueue.broker.failed import FailedMessage
from taskqueue.cli.tables import print_table
from taskqueue.core.failures import Failure, FailureGroup, FailureGroups
from taskqueue.core.instants import rfc3339

#: of an error's text, in a table
_SHOWN_CHARS = 80


def print_groups(groups: FailureGroups) -> None:
    """Print a line for each kind of failure, the most frequent first, and the total."""
    headings = ("count", "task", "host", "code", "fingerprint", "oldest", "newest", "for instance", "job")
    print_table(headings, [_group_cells(group) for group in groups.largest_first()])
    more = f", {groups.others} of further kinds" if groups.others else ""
    kinds = len(groups.by_fingerprint)
    failures = "1 failure" if groups.total == 1 else f"{groups.total} failures"
    typer.echo(f"{failures} of {kinds} kind{'' if kinds == 1 else 's'}{more}")


def print_failures(failures: Sequence[Failure], found: int) -> None:
    """Print a line for each of `failures`, which are of `found`."""
    headings = ("failed at", "task", "user", "host", "reason", "code", "attempts", "fingerprint", "job")
    rows = [
        (
            _second(failure.failed_at),
            failure.task_id,
            failure.user_id,
            failure.host,
            failure.reason,
            failure.code,
            "" if failure.attempts is None else str(failure.attempts),
            failure.fingerprint,
            failure.job_id,
        )
        for failure in failures
    ]
    print_table(headings, rows)
    typer.echo(f"{len(failures)} of {found}")


def groups_as_dict(groups: FailureGroups) -> dict[str, object]:
    """Return the groups as a JSON object."""
    return {
        "total": groups.total,
        "of_further_kinds": groups.others,
        "kinds": [
            {
                "count": group.count,
                "oldest": _when(group.oldest) or None,
                "newest": _when(group.newest) or None,
                "example": group.example.as_dict(),
            }
            for group in groups.largest_first()
        ],
    }


def full_view(message: FailedMessage, failure: Failure) -> dict[str, object]:
    """Return everything about one message as a JSON object: what is known, the job and its payload, all headers."""
    return {
        **failure.as_dict(),
        "job": _job(failure),
        "message_id": message.message_id,
        "headers": plain(dict(message.headers)),
        **({"body": shown_bytes(message.body)} if failure.message is None else {}),
    }


def _job(failure: Failure) -> dict[str, object] | None:
    if failure.message is None:
        return None
    job, metadata = failure.message.job, failure.message.metadata
    return {
        "scheduled_at": rfc3339(job.scheduled_at),
        "execute_after": rfc3339(job.execute_after),
        "attempt": job.attempt,
        "priority": job.priority.name.lower(),
        "payload": shown_bytes(job.payload),
        "source": metadata.source,
        "correlation_id": metadata.correlation_id,
    }


def shown_bytes(data: bytes) -> object:
    """Return what `data` means: JSON where it is some, else its text, else its base64."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def plain(value: object) -> object:
    """Return an AMQP field value as JSON would have it."""
    match value:
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case bytes() | bytearray():
            return {"base64": base64.b64encode(value).decode()}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _group_cells(group: FailureGroup) -> tuple[str, ...]:
    example = group.example
    return (
        str(group.count),
        example.task_id,
        example.host,
        example.code,
        example.fingerprint,
        _second(group.oldest),
        _second(group.newest),
        example.detail[:_SHOWN_CHARS],
        example.job_id,
    )


def _when(at: datetime | None) -> str:
    return "" if at is None else rfc3339(at)


def _second(at: datetime | None) -> str:
    """Return the instant for a table, without the fraction of its second."""
    return _when(None if at is None else at.replace(microsecond=0))
