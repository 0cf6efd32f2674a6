from pathlib import Path

import pytest

from taskqueue.errors import InvalidValueError
from taskqueue.worker.references import References


def _resolved(value: str, **environ: str) -> str:
    return References(environ).resolve_all({"Authorization": value})["Authorization"]


def test_a_value_without_a_reference_stays_as_it_is() -> None:
    assert _resolved("plain $ {text}") == "plain $ {text}"


def test_a_variable_is_filled_in() -> None:
    assert _resolved("Bearer ${env:API_TOKEN}", API_TOKEN="s3cret") == "Bearer s3cret"


def test_several_references_are_filled_in() -> None:
    assert _resolved("${env:USER}:${env:PASSWORD}", USER="me", PASSWORD="s3cret") == "me:s3cret"


def test_what_is_filled_in_is_not_resolved_again() -> None:
    assert _resolved("${env:A}", A="${env:B}", B="s3cret") == "${env:B}"


def test_a_file_is_read_at_each_call_without_its_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n", encoding="utf-8")
    before = _resolved(f"${{file:{path}}}")
    path.write_text("second\n", encoding="utf-8")

    assert (before, _resolved(f"${{file:{path}}}")) == ("first", "second")


@pytest.mark.parametrize(
    ("value", "named"),
    [("${env:NOT_THERE}", "NOT_THERE"), ("${file:/no/such/file}", "/no/such/file")],
)
def test_what_cannot_be_resolved_is_named_with_its_header(value: str, named: str) -> None:
    with pytest.raises(InvalidValueError, match="Authorization") as raised:
        _resolved(value)
    assert named in str(raised.value)


@pytest.mark.parametrize("secret", ["two\nlines", "café", "\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidValueError, match="Authorization") as raised:
        _resolved("${env:API_TOKEN}", API_TOKEN=secret)
    assert secret not in str(raised.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidValueError, match="cannot be read"):
        _resolved(f"${{file:{path}}}")
