from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.http_rules import check_endpoint, check_headers, has_reference
from taskqueue.errors import InvalidValueError


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/reports/daily",
        "http://localhost:8000/",
        "http://[::1]:8000/x",
        "https://h/users/{user_id}/{task_id}?u={user_id}",
        "HTTPS://h",
    ],
)
def test_an_http_url_with_a_host_is_an_endpoint(url: str) -> None:
    assert check_endpoint(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "blank"),
        ("api.example.com/x", "not an http or https URL"),
        ("ftp://h/x", "not an http or https URL"),
        ("https:///x", "not an http or https URL"),
        ("https://h:0/", "not an http or https URL"),
        ("https://h:99999/", "malformed host or port"),
        ("https://[::1/", "malformed host or port"),
        ("https://user:hunter2@h/", "user or password"),
        ("https://hunter2@h/", "user or password"),
        ("https://h/a b", "blank"),
        ("https://h/\r\nX: hunter2", "blank"),
        ("https://h\\evil/", "no URL has"),
        ("https://h/é", "percent-encode"),
        ("https://h/{user}", "unknown placeholder"),
        ("https://h/{user_id", "brace without its partner"),
        ("https://h/${env:HUNTER2}", "unknown placeholder"),
        ("https://{user_id}.h/", "placeholder in its host"),
        ("https://h/#top", "fragment"),
        ("https://h/" + "x" * 2048, "at most 2048"),
    ],
)
def test_what_is_no_endpoint_is_refused_without_repeating_it(url: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as caught:
        check_endpoint(url)
    assert "hunter2" not in str(caught.value).lower()


@given(st.text(max_size=40).map(lambda text: "https://h/" + text) | st.text(max_size=20))
def test_any_text_is_an_endpoint_or_an_invalid_value(url: str) -> None:
    try:
        checked = check_endpoint(url)
    except InvalidValueError:
        return
    assert checked.isascii()
    assert checked.isprintable()


def test_ordinary_headers_and_references_pass_unchanged() -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer ${env:TOKEN}", "X-Key": "${file:/run/key}"}
    assert check_headers(headers) == headers


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\r\nb", "x" * 129])
def test_a_header_name_is_a_token(name: str) -> None:
    with pytest.raises(InvalidValueError, match="not an HTTP token"):
        check_headers({name: "x"})


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Upgrade"])
def test_headers_of_the_connection_are_left_to_the_client(name: str) -> None:
    with pytest.raises(InvalidValueError, match="set by the HTTP client"):
        check_headers({name: "x"})


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-TaskQueue-Job", "x-taskqueue-anything", "traceparent"])
def test_headers_of_the_worker_are_left_to_it(name: str) -> None:
    with pytest.raises(InvalidValueError, match="set by the worker"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["hunter2\r\nX: y", "hunter2\0", "hunter2é", " hunter2", "hunter2\t", "hunter2" * 2000]
)
def test_a_header_value_that_could_split_a_request_is_refused_unseen(value: str) -> None:
    with pytest.raises(InvalidValueError, match="header X-Key") as caught:
        check_headers({"X-Key": value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["${TOKEN}", "${env:}", "${env:1X}", "${file:relative}", "${env:A"])
def test_a_malformed_reference_is_refused(value: str) -> None:
    with pytest.raises(InvalidValueError, match="malformed reference"):
        check_headers({"Authorization": value})


def test_a_header_may_stand_there_once_in_any_case() -> None:
    with pytest.raises(InvalidValueError, match="keep one"):
        check_headers({"X-Key": "1", "x-key": "2"})


def test_there_is_a_limit_to_the_number_of_headers() -> None:
    with pytest.raises(InvalidValueError, match="65 headers"):
        check_headers({f"X-{number}": "x" for number in range(65)})


def test_a_reference_is_told_from_a_literal_value() -> None:
    assert has_reference("Bearer ${env:TOKEN}")
    assert not has_reference("Bearer abc")
