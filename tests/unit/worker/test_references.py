import os
from pathlib import Path

import pytest

from taskqueue.errors import InvalidValueError
from taskqueue.worker.references import MAX_FILE_BYTES, References
from tests.support.fakes import Clock


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


def _of_a_file(path: Path, monotonic: Clock) -> tuple[References, str]:
    return References({}, monotonic=monotonic), f"${{file:{path}}}"


def _rewrite(path: Path, text: str) -> None:
    """Write so that the file looks as it did: a clock of files may stand still for some milliseconds."""
    before = path.stat()
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_looks_unchanged_is_not_read_again_for_five_seconds(tmp_path: Path) -> None:
    (path := tmp_path / "token").write_text("first", encoding="utf-8")
    clock = Clock()
    references, reference = _of_a_file(path, clock)
    values = [references.value("endpoint", reference)]
    _rewrite(path, "other")

    for step_s in (4.9, 0.2):
        clock.seconds += step_s
        values.append(references.value("endpoint", reference))

    assert values == ["first", "first", "other"]


def test_a_file_that_is_replaced_is_read_at_once(tmp_path: Path) -> None:
    (path := tmp_path / "token").write_text("first", encoding="utf-8")
    references, reference = _of_a_file(path, Clock())
    before = references.value("endpoint", reference)
    (tmp_path / "new").write_text("other", encoding="utf-8")
    (tmp_path / "new").rename(path)

    assert (before, references.value("endpoint", reference)) == ("first", "other")


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_is_just_being_written_keeps_its_value_for_a_moment(tmp_path: Path, gone: bool) -> None:
    (path := tmp_path / "token").write_text("first", encoding="utf-8")
    clock = Clock()
    references, reference = _of_a_file(path, clock)
    references.value("endpoint", reference)
    path.unlink() if gone else path.write_text("", encoding="utf-8")

    clock.seconds += 4.9
    assert references.value("endpoint", reference) == "first"
    clock.seconds += 0.2
    with pytest.raises(InvalidValueError, match=str(path)):
        references.value("endpoint", reference)


def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    references = References({}, monotonic=Clock())
    for number in range(300):
        (path := tmp_path / str(number)).write_text(f"{number}", encoding="utf-8")
        assert references.value("endpoint", f"${{file:{path}}}") == str(number)

    assert len(references._files) <= 256


def test_a_secret_that_is_empty_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n", encoding="utf-8")

    for value in (f"${{file:{tmp_path / 'token'}}}", "${env:API_TOKEN}"):
        with pytest.raises(InvalidValueError, match="empty"):
            _resolved(value, API_TOKEN="")


def test_a_file_that_is_too_long_for_a_secret_is_not_cut(tmp_path: Path) -> None:
    (path := tmp_path / "token").write_bytes(b"s" * (MAX_FILE_BYTES + 1))

    with pytest.raises(InvalidValueError, match=str(MAX_FILE_BYTES)):
        _resolved(f"${{file:{path}}}")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InvalidValueError, match="regular file"):
        _resolved(f"${{file:{tmp_path / 'pipe'}}}")


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
