from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.reference import has_reference, host_by_reference, is_reference, without_references


def test_a_reference_is_told_from_a_literal_value() -> None:
    assert has_reference("Bearer ${env:TOKEN}")
    assert not has_reference("Bearer abc")
    assert not has_reference("${env:}")


def test_a_reference_alone_is_told_from_one_with_text_around_it() -> None:
    assert is_reference("${file:/run/secrets/key}")
    assert not is_reference("${env:A}${env:B}")
    assert not is_reference("Bearer ${env:A}")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://${env:API_HOST}/in", "https://${env:API_HOST}"),
        ("HTTP://${env:Api_Host}?a", "HTTP://${env:Api_Host}"),
        ("${file:/run/secrets/url}", "${file:/run/secrets/url}"),
        ("https://h/${env:PATH_PART}", None),
        ("https://h.${env:ZONE}/", None),
        ("https://${env:API_HOST}:80/", None),
        ("ftp://${env:API_HOST}/", None),
        ("https://h/", None),
    ],
)
def test_the_host_is_known_by_a_reference_that_stands_for_all_of_it(endpoint: str, host: str | None) -> None:
    assert host_by_reference(endpoint) == host


@pytest.mark.parametrize(
    ("endpoint", "judged"),
    [
        ("${env:API_URL}/in", "https://reference/in"),
        ("http://${env:API_HOST}/in", "http://reference/in"),
        ("https://h/${file:/a?b#c@d}?t=${env:T}", "https://h/reference?t=reference"),
    ],
)
def test_what_is_around_references_can_be_judged(endpoint: str, judged: str) -> None:
    assert without_references(endpoint) == judged


@given(st.text(max_size=30))
def test_a_text_without_references_is_judged_as_it_is(text: str) -> None:
    assert has_reference(text) or without_references(text) == text
