from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from taskqueue.cli.failed_view import plain, print_failures, print_groups, shown_bytes
from taskqueue.core.codec import encode_message
from taskqueue.core.failures import Failure, FailureGroups, read_failure
from tests.support.values import TEN_O_CLOCK, a_message


def a_failure(user_id: str = "u1", failed_at: str = "2024-01-15T10:00:00Z") -> Failure:
    return read_failure(
        encode_message(a_message(user_id=user_id)),
        None,
        {"taskqueue-error-code": "http_500", "taskqueue-failed-at": failed_at},
    )


def test_a_table_shows_ids_as_text_that_no_terminal_acts_on(capsys: pytest.CaptureFixture[str]) -> None:
    print_failures([a_failure("\x1b[2J")], 7)

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "1 of 7" in out


def test_tables_have_seconds_and_the_fingerprint_by_the_name_of_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    failure = a_failure(failed_at="2024-01-15T10:00:00.123456Z")
    groups = FailureGroups()
    groups.add(failure)

    for show in (lambda: print_failures([failure], 1), lambda: print_groups(groups)):
        show()
        out = capsys.readouterr().out
        assert "2024-01-15T10:00:00Z" in out
        assert ".123456" not in out
        assert "fingerprint" in out
    assert out.splitlines()[-1] == "1 failure of 1 kind"


def test_a_table_of_groups_ends_with_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    groups = FailureGroups(most=1)
    groups.add(a_failure())
    groups.add(read_failure(b"", "m", {}))

    print_groups(groups)

    out = capsys.readouterr().out
    assert "http_500" in out
    assert out.splitlines()[-1] == "2 failures of 1 kind, 1 of further kinds"


@pytest.mark.parametrize(
    ("data", "shown"),
    [(b'{"a":1}', {"a": 1}), (b"plain", "plain"), (b"\xff", {"base64": "/w=="}), (b"", ""), (b"[" * 9999, "[" * 9999)],
)
def test_bytes_are_shown_as_what_they_are(data: bytes, shown: object) -> None:
    assert shown_bytes(data) == shown


def test_values_of_amqp_are_plain_json() -> None:
    value = {"a": [b"\xff", TEN_O_CLOCK, Decimal("1.5"), None, True], 1: {"b": timedelta(0)}}

    assert plain(value) == {
        "a": [{"base64": "/w=="}, "2024-01-15 10:00:00+00:00", "1.5", None, True],
        "1": {"b": "0:00:00"},
    }
