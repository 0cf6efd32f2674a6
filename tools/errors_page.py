"""Write docs/errors.md anew: `python -m tools.errors_page`.

Codes, statuses and reasons come from taskqueue/core/error_codes.py, the cases from tests/support/error_matrix.py: those
are what tests/integration/test_error_matrix.py makes happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from taskqueue.core.error_codes import ERRORS, REASONS, STATUSES, ErrorRow, RetryClass, Sent, StatusRow
from taskqueue.core.outcome import OutcomeClass, outcome_of_status
from tests.support.error_matrix import MATRIX, Case

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

_INTRODUCTION = """\
# Errors: what went wrong, and what to do

For whoever looks at a failed attempt or into `taskqueue.jobs.failed`. This page is written by `make errors`.

The record of an execution, `taskqueue exec show` and the worker's log name a failure by its code. In the record it is
`error`: `code` is one of those below, `message` says more, with the host but never the path, the query or a header, and
`retry` says whether another attempt follows.

| class | while the job has retries left and is younger than `max_age` |
|---|---|
| retryable | another attempt follows |
| unknown effect | the same, unless the task says `retry_unknown: false`: the endpoint may have done the job |
| permanent | no other attempt follows: it could not go better |
"""

_CODES = """
## Codes

"Asked" says whether the endpoint can have seen the request.
"""

_STATUSES = """
An answer is judged by its status, `http_<status>` being its code. 2xx is a success. With `X-TaskQueue-Retry: no` every
other status is permanent.
"""

_REASONS = """
## Reasons in `taskqueue.jobs.failed`

Why nothing more was tried is in the header `taskqueue-reason` of the message; what went wrong last is in
`taskqueue-error-code` and `taskqueue-error-message`. A message without that header was put there by RabbitMQ itself,
after it had come back from workers more often than the delivery limit allows, or by somebody else: its `x-death` says
which. How to look into the queue, replay and drop is in [failed-jobs.md](failed-jobs.md).
"""

_MATRIX = """
## What becomes of each call

Each row is made to happen by a test, with a server of its own where there is one. Behind a status, "cut" says that the
body is not all there: it is larger than `max_response_bytes`, or has no good end under a 4xx or 5xx, which counts by
its status alone.
"""

_ASKED = {"not_sent": "no", "unknown": "perhaps", "answered": "yes"}
_REACHES: tuple[Sent, ...] = ("not_sent", "unknown")


def page() -> str:
    """Return the text of docs/errors.md."""
    lines = (
        _INTRODUCTION + _CODES,
        *_table(("code", "means", "asked", "class", "what to do"), _error_rows()),
        _STATUSES,
        *_table(("code", "means", "class", "what to do"), _status_rows()),
        _MATRIX.rstrip(),
        *_cases(),
        _REASONS,
        *_table(("reason", "means", "what to do"), _reason_rows()),
    )
    return "\n".join(lines) + "\n"


def _error_rows() -> Iterator[tuple[str, ...]]:
    for code, row in ERRORS.items():
        yield f"`{code}`", row.meaning, _asked(row), _classes(row), row.remedy


def _asked(row: ErrorRow) -> str:
    return " or ".join(_ASKED[sent] for sent in _REACHES if sent in row.sent)


def _classes(row: ErrorRow) -> str:
    classes = [row.retry_class(sent).value for sent in _REACHES if sent in row.sent]
    return " or ".join(dict.fromkeys(classes))


def _status_rows() -> Iterator[tuple[str, ...]]:
    for row in STATUSES:
        yield row.name, row.meaning, status_class(row).value, row.remedy


def status_class(row: StatusRow) -> RetryClass:
    """Return the class of all statuses of a row. Raises ValueError when they differ."""
    (kind,) = {outcome_of_status(status).kind for status in row.statuses}
    return RetryClass.PERMANENT if kind is OutcomeClass.PERMANENT else RetryClass.RETRYABLE


def _cases() -> Iterator[str]:
    for heading, cases in MATRIX.items():
        yield ""
        yield from _table((heading, "code", "asked", "class", "status"), map(_case_row, cases))


def _case_row(case: Case) -> tuple[str, ...]:
    expected = case.expected
    status = "" if expected.status is None else f"{expected.status}{', cut' if expected.truncated else ''}"
    code = f"`{expected.code}`" if expected.code else ""
    return case.what, code, _ASKED[expected.sent], expected.retry or "success", status


def _reason_rows() -> Iterator[tuple[str, ...]]:
    for reason, row in REASONS.items():
        yield f"`{reason}`", row.meaning, row.remedy


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(head)
    yield "|---" * len(head) + "|"
    yield from map(_row, rows)


def _row(cells: tuple[str, ...]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
