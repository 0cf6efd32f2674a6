from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import taskqueue
from taskqueue.assets import asset_dir
from taskqueue.core.error_codes import ERRORS, REASONS, STATUSES, ErrorCode, FailReason, RetryClass, Sent
from taskqueue.core.host_limit import Sign, sign_of
from taskqueue.core.outcome import OutcomeClass, outcome_of_failure, outcome_of_status

PACKAGE = Path(taskqueue.__file__).parent

#: what makes a failure, and the fields of it that hold a code
_MAKERS = {
    **dict.fromkeys(("Failure", "Outcome", "ErrorDetail", "outcome_of_failure", "permanent_failure"), ("code",)),
    **dict.fromkeys(("Fail", "MessageError"), ("code", "reason")),
}
_FIRST_IS_CODE = {"outcome_of_failure", "permanent_failure", "MessageError"}


def test_each_code_and_each_reason_has_a_row() -> None:
    assert set(ERRORS) == set(ErrorCode)
    assert set(REASONS) == set(FailReason)


def test_each_row_says_what_it_means_and_what_to_do() -> None:
    for row in (*ERRORS.values(), *REASONS.values(), *STATUSES):
        assert row.meaning
        assert row.remedy


def _codes_in_source() -> Iterator[tuple[str, str]]:
    """Yield each code that is written out where a failure is made, and its place."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS:
                values = [keyword.value for keyword in node.keywords if keyword.arg in _MAKERS[node.func.id]]
                values += node.args[:1] if node.func.id in _FIRST_IS_CODE else []
                for value in values:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield f"{path.relative_to(PACKAGE)}:{node.lineno}", value.value


def test_no_failure_is_made_with_a_code_that_has_no_row() -> None:
    written = list(_codes_in_source())

    assert written
    assert [(place, code) for place, code in written if code not in set(ErrorCode)] == []


def test_admission_ends_jobs_only_for_reasons_that_have_a_row() -> None:
    words = re.findall(r"\{'fail', 0, ([^}]+)\}", (asset_dir("lua") / "admit.lua").read_text(encoding="utf-8"))

    assert words
    assert {word.strip("'") for word in words} <= set(FailReason)
    assert {word.strip("'") for word in words} <= set(ErrorCode)


def test_a_failure_of_a_message_or_before_admission_is_its_own_reason() -> None:
    last_attempt = {
        *(FailReason.PERMANENT, FailReason.RETRIES_EXHAUSTED, FailReason.EFFECT_UNKNOWN),
    }
    assert {reason.value for reason in set(FailReason) - last_attempt} <= set(ErrorCode)


@pytest.mark.parametrize(
    ("code", "sent", "retry"),
    [
        (ErrorCode.CONNECTION_RESET, "not_sent", RetryClass.RETRYABLE),
        (ErrorCode.CONNECTION_RESET, "unknown", RetryClass.UNKNOWN_EFFECT),
        (ErrorCode.INVALID_REQUEST, "not_sent", RetryClass.PERMANENT),
        (ErrorCode.WORKER_LOST, "unknown", RetryClass.PERMANENT),
    ],
)
def test_the_class_of_a_failure_follows_from_its_code_and_whether_it_was_sent(
    code: ErrorCode, sent: Sent, retry: RetryClass
) -> None:
    assert ERRORS[code].retry_class(sent) is retry


def test_each_failing_status_stands_in_one_row_whose_statuses_are_all_of_one_class() -> None:
    rows = [row.statuses for row in STATUSES]

    assert sorted(status for statuses in rows for status in statuses) == [101, *range(300, 600)]
    for statuses in rows:
        kinds = {outcome_of_status(status).kind for status in statuses}
        assert len(kinds) == 1
        assert kinds <= {OutcomeClass.RETRYABLE, OutcomeClass.PERMANENT}


def test_only_a_host_that_could_not_be_connected_to_or_did_not_answer_is_blamed() -> None:
    blamed = {
        code
        for code in ErrorCode
        if sign_of(outcome_of_failure(code, "", effect_unknown=False)) in {Sign.TOO_MUCH, Sign.SILENT}
    }

    assert blamed == {
        *(ErrorCode.DNS_FAILURE, ErrorCode.CONNECT_TIMEOUT, ErrorCode.CONNECTION_REFUSED),
        *(ErrorCode.CONNECTION_FAILED, ErrorCode.TLS_ERROR, ErrorCode.TIMEOUT),
    }
