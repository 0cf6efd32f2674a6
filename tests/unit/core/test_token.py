from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.token import (
    ALPHABET,
    ID_CHARS,
    SECRET_CHARS,
    ApiToken,
    Scope,
    TokenState,
    check_token_id,
    check_token_name,
    digest_of,
    read_token,
    token_text,
    without_secrets,
)
from taskqueue.errors import InvalidValueError

NOW = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

ids = st.text(ALPHABET, min_size=ID_CHARS, max_size=ID_CHARS)
secrets = st.text(ALPHABET, min_size=SECRET_CHARS, max_size=SECRET_CHARS)


def a_token(**changes: Any) -> ApiToken:
    fields: dict[str, Any] = {
        "token_id": "abcdefghij",
        "name": "ci",
        "scope": Scope.WRITE,
        "digest": digest_of("present"),
        "created_at": NOW - HOUR,
    }
    return ApiToken(**fields | changes)


@given(ids, secrets)
def test_a_token_reads_as_its_id_and_the_digest_of_its_secret(token_id: str, secret: str) -> None:
    assert read_token(token_text(token_id, secret)) == (token_id, digest_of(secret))


@given(ids, secrets, st.data())
def test_a_token_with_one_wrong_character_is_no_token(token_id: str, secret: str, data: st.DataObject) -> None:
    text = token_text(token_id, secret)
    place = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from(sorted(set(ALPHABET + "_A0 ") - {text[place]})))

    assert read_token(text[:place] + wrong + text[place + 1 :]) is None


@given(st.text())
def test_other_text_is_no_token(text: str) -> None:
    assert read_token(text) is None
    assert read_token(token_text("abcdefghij", "a" * SECRET_CHARS) + "\n" + text) is None


@pytest.mark.parametrize(
    ("has", "allowed"),
    [
        (Scope.READ, [Scope.READ]),
        (Scope.WRITE, [Scope.READ, Scope.WRITE]),
        (Scope.ADMIN, [Scope.READ, Scope.WRITE, Scope.ADMIN]),
    ],
)
def test_each_scope_includes_the_ones_before_it(has: Scope, allowed: list[Scope]) -> None:
    assert [needed for needed in Scope if has.allows(needed)] == allowed


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, TokenState.ACTIVE),
        ({"expires_at": NOW + HOUR}, TokenState.ACTIVE),
        ({"expires_at": NOW}, TokenState.EXPIRED),
        ({"revoked_at": NOW - HOUR}, TokenState.REVOKED),
        ({"revoked_at": NOW - HOUR, "expires_at": NOW - HOUR}, TokenState.REVOKED),
    ],
)
def test_a_token_holds_until_it_expires_or_is_revoked(changes: dict[str, Any], state: TokenState) -> None:
    assert a_token(**changes).state(NOW) is state


def test_after_a_rotation_both_secrets_fit_until_the_overlap_is_over() -> None:
    token = a_token(previous_digest=digest_of("previous"), previous_until=NOW + HOUR)

    assert token.fits(digest_of("present"), NOW)
    assert token.fits(digest_of("previous"), NOW)
    assert token.fits(digest_of("present"), NOW + HOUR)
    assert not token.fits(digest_of("previous"), NOW + HOUR)
    assert not token.fits(digest_of("other"), NOW)


def test_a_token_that_was_never_rotated_has_no_secret_before() -> None:
    assert not a_token().fits(b"", NOW)


def test_the_representation_of_a_token_shows_no_digest() -> None:
    token = a_token(previous_digest=digest_of("previous"), previous_until=NOW)

    assert "digest" not in repr(token)


@pytest.mark.parametrize("name", ["", "x" * 81, "two\nlines", "\u202eic", "\ud800"])
def test_a_name_is_one_short_line_of_text(name: str) -> None:
    with pytest.raises(InvalidValueError, match="printable"):
        check_token_name(name)


def test_a_token_in_the_place_of_its_id_is_refused_and_not_repeated() -> None:
    text = token_text("abcdefghij", "a" * SECRET_CHARS)

    with pytest.raises(InvalidValueError) as refused:
        check_token_id(text)

    assert text not in str(refused.value)


@given(st.text(), ids, secrets, st.text())
def test_text_keeps_of_a_token_only_its_id(before: str, token_id: str, secret: str, after: str) -> None:
    text = token_text(token_id, secret)

    shown = without_secrets(before + text + after)

    assert text not in shown
    assert token_id in shown


def test_text_without_a_token_stays_as_it_is() -> None:
    assert without_secrets("a task called tq_daily_report") == "a task called tq_daily_report"
