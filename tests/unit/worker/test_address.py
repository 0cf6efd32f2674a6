from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.task import Target
from taskqueue.errors import InvalidValueError
from taskqueue.worker.address import address_of
from taskqueue.worker.http_call import HttpRequest
from taskqueue.worker.references import References
from taskqueue.worker.request import build_request
from tests.support.fakes import JOB, targeting
from tests.support.values import TEN_O_CLOCK

#: what would be a gap of an endpoint, were it looked at a second time
GAPS = st.sampled_from(
    ["{user_id}", "{task_id}", "${env:OTHER}", "${file:/etc/hostname}", "/", "?", "#", "&", "%", "."]
)
ANYTHING = st.lists(GAPS | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map("".join)
UNMISTAKABLE = ANYTHING.filter(lambda text: text not in {".", ".."})


def _address(endpoint: str, user_id: str = "u1", /, **environ: str) -> str:
    return address_of(endpoint, user_id, "daily_report", References(environ))


@given(user_id=UNMISTAKABLE, secret=UNMISTAKABLE)
def test_no_id_forms_a_reference_and_no_secret_a_placeholder(user_id: str, secret: str) -> None:
    endpoint = "https://h/a/${env:S}/{user_id}/b?s=${env:S}&u={user_id}&t={task_id}"

    parts = urlsplit(_address(endpoint, user_id, S=secret, OTHER="never"))

    assert (parts.netloc, parts.fragment) == ("h", "")
    assert [unquote(segment) for segment in parts.path.split("/")] == ["", "a", secret, user_id, "b"]
    assert parse_qs(parts.query) == {"s": [secret], "u": [user_id], "t": ["daily_report"]}


@given(user_id=UNMISTAKABLE, secret=UNMISTAKABLE)
def test_what_stands_side_by_side_does_not_grow_together(user_id: str, secret: str) -> None:
    address = _address("https://h/x${env:S}{user_id}$?q={user_id}${env:S}", user_id, S=secret, OTHER="never")

    parts = urlsplit(address)
    assert unquote(parts.path) == f"/x{secret}{user_id}$"
    assert unquote(parts.query) == f"q={user_id}{secret}"
    assert "{" not in address


@given(ANYTHING)
def test_whatever_stands_for_the_host_nothing_of_the_endpoint_behind_it_changes(value: str) -> None:
    for endpoint in ("https://${env:H}/in?u={user_id}", "${env:H}/in?u={user_id}"):
        try:
            parts = urlsplit(_address(endpoint, H=value))
        except InvalidValueError:
            continue
        assert parts.scheme in {"http", "https"}
        assert parts.path.endswith("/in")
        assert parts.query == "u=u1"


@pytest.mark.parametrize(
    ("endpoint", "value", "address"),
    [
        ("https://${env:H}/in", "api.example:8443", "https://api.example:8443/in"),
        ("https://${env:H}", "api.example", "https://api.example"),
        ("https://${env:H}?u={user_id}", "[::1]:80", "https://[::1]:80?u=u1"),
        ("${env:H}/in", "http://api.example", "http://api.example/in"),
        ("${env:H}/in", "https://api.example:8443/v1/", "https://api.example:8443/v1/in"),
        ("${env:H}", "https://api.example/v1/in", "https://api.example/v1/in"),
    ],
)
def test_a_reference_may_stand_for_the_host_or_for_the_beginning(endpoint: str, value: str, address: str) -> None:
    assert _address(endpoint, H=value) == address


@pytest.mark.parametrize(
    ("endpoint", "value"),
    [
        ("https://${env:H}/in", "https://hunter2"),
        ("https://${env:H}/in", "hunter2/v1"),
        ("https://${env:H}/in", "hunter2?"),
        ("https://${env:H}/in", "me@hunter2"),
        ("https://${env:H}/in", "hunter2:99999"),
        ("https://${env:H}/in", "hunter2:0"),
        ("https://${env:H}/in", "hunter2\r\nX: y"),
        ("https://${env:H}/in", "hunter2 "),
        ("${env:H}/in", "hunter2"),
        ("${env:H}/in", "ftp://hunter2"),
        ("${env:H}/in", "https://hunter2/?a=b"),
        ("${env:H}/in", "https://hunter2/#a"),
        ("${env:H}/in", "https://hunter2/{user_id}"),
        ("${env:H}/in", "https://hunter2/${env:OTHER}"),
        ("${env:H}/in", "https://hunter2/../a"),
        ("${env:H}/in", "https://hunter2\ud800/"),
    ],
)
def test_a_host_that_is_none_is_refused_by_its_reference_and_unseen(endpoint: str, value: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^\$\{env:H\} in the endpoint ") as caught:
        _address(endpoint, H=value, OTHER="other")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["https://h/${env:S}", "https://h/.${env:S}?a", "https://h/{user_id}${env:S}"])
def test_no_secret_becomes_a_step_in_a_path(endpoint: str) -> None:
    with pytest.raises(InvalidValueError, match="segment of a path"):
        _address(endpoint, ".", S=".")

    assert _address("https://h/a?s=${env:S}", S="..") == "https://h/a?s=.."


def test_bytes_of_the_environment_that_are_no_text_are_sent_as_they_are() -> None:
    assert _address("https://h/${env:S}", S="a\udcff") == "https://h/a%FF"


def test_a_file_stands_in_an_endpoint_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a/b\n", encoding="utf-8")

    assert _address(f"https://h/in?t=${{file:{tmp_path}/token}}") == "https://h/in?t=a%2Fb"


@pytest.mark.parametrize("endpoint", ["https://h/${env:NOPE}", "https://${env:NOPE}/", "${env:NOPE}"])
def test_a_reference_that_cannot_be_resolved_is_named_with_its_place(endpoint: str) -> None:
    with pytest.raises(InvalidValueError, match=r"endpoint.*NOPE"):
        _address(endpoint)


def _request(endpoint: str, **environ: str) -> HttpRequest:
    task = targeting(Target(endpoint=endpoint, method="GET"))
    return build_request(task, replace(JOB, payload=b'{"n":1}'), References(environ), TEN_O_CLOCK)


def test_a_request_goes_where_the_references_lead_and_shows_none_of_it() -> None:
    request = _request("https://${env:H}/in?t=${env:T}", H="internal.example", T="hunter2")

    assert request.url == "https://internal.example/in?t=hunter2&n=1"
    assert request.host_shown == "https://${env:H}"
    assert "hunter2" not in repr(request)
    assert "internal" not in repr(request)


def test_a_host_that_stands_in_the_endpoint_is_shown_as_it_is() -> None:
    assert _request("https://h/in?t=${env:T}", T="hunter2").host_shown is None
