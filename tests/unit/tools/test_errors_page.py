from __future__ import annotations

from taskqueue.core.error_codes import ErrorCode, FailReason
from tests.support.error_matrix import all_cases
from tools.errors_page import PAGE, page


def test_the_committed_page_is_that_of_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make errors"


def test_the_page_has_a_row_for_each_code_each_reason_and_each_case() -> None:
    rows = [line.split(" |")[0] for line in page().splitlines()]

    for word in (*ErrorCode, *FailReason):
        assert f"| `{word}`" in rows
    for case in all_cases():
        assert f"| {case.what}" in rows
