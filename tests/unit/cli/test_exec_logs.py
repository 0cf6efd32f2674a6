from __future__ import annotations

from collections import Counter
from datetime import timedelta

from taskqueue.cli.exec_logs import _new
from taskqueue.core.log_line import Level, LogLine
from tests.support.values import TEN_O_CLOCK


def line(seconds: float, message: str) -> LogLine:
    return LogLine(timestamp=TEN_O_CLOCK + timedelta(seconds=seconds), level=Level.INFO, message=message)


def test_a_line_that_comes_in_before_others_is_printed_once_and_the_others_not_again() -> None:
    printed = Counter[LogLine]()
    half, began, answered = line(1, "half"), line(0, "began"), line(2, "answered")

    assert list(_new([half], printed)) == [half]
    assert list(_new([began, half, answered], printed)) == [began, answered]
    assert list(_new([began, half, answered], printed)) == []


def test_a_line_that_comes_twice_is_printed_twice() -> None:
    printed = Counter[LogLine]()
    same = line(1, "again")

    assert list(_new([same], printed)) == [same]
    assert list(_new([same, same], printed)) == [same]


def test_lines_that_have_gone_from_the_head_of_the_log_are_no_reason_to_print_the_rest_again() -> None:
    printed = Counter[LogLine]()
    first, second = line(1, "first"), line(2, "second")
    list(_new([first, second], printed))

    assert list(_new([second], printed)) == []
