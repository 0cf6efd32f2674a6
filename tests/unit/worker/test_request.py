import re
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.job import Job
from taskqueue.core.task import Target
from taskqueue.errors import InvalidValueError
from taskqueue.worker.http_call import HttpRequest
from taskqueue.worker.references import References
from taskqueue.worker.request import build_request, traceparent
from tests.support.fakes import JOB, targeting

URL = "https://reports.example/daily"
USER_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _request(target: Target, job: Job = JOB, **environ: str) -> HttpRequest:
    return build_request(targeting(target), job, References(environ))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_methods_with_a_body_carry_the_payload_as_it_is(method: str) -> None:
    request = _request(Target(endpoint=URL, method=method), replace(JOB, payload=b"\x00\xff not JSON"))

    assert (request.method, request.url, request.body) == (method, URL, b"\x00\xff not JSON")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_methods_without_a_body_carry_the_payload_as_query(method: str) -> None:
    payload = b'{"user_id":"u&1","parameters":{"n":1,"deep":{"a":[true]},"text":"a b"}}'

    request = _request(Target(endpoint=URL + "?fixed=1", method=method), replace(JOB, payload=payload))

    assert request.body is None
    assert parse_qs(urlsplit(request.url).query) == {
        "fixed": ["1"],
        "user_id": ["u&1"],
        "n": ["1"],
        "deep": ['{"a": [true]}'],
        "text": ["a b"],
    }


def test_a_call_without_a_body_and_an_empty_payload_has_no_query() -> None:
    assert _request(Target(endpoint=URL, method="GET"), replace(JOB, payload=b"")).url == URL


@pytest.mark.parametrize("payload", [b"text", b"[1]", b"\xff", b"[" * 100_000])
def test_a_payload_without_fields_cannot_become_a_query(payload: bytes) -> None:
    with pytest.raises(InvalidValueError, match="payload"):
        _request(Target(endpoint=URL, method="GET"), replace(JOB, payload=payload))


def test_the_headers_say_which_job_this_is() -> None:
    headers = _request(Target(endpoint=URL)).headers

    assert headers == {
        "Idempotency-Key": JOB.id,
        "X-TaskQueue-Task": "daily_report",
        "X-TaskQueue-Job": JOB.id,
        "X-TaskQueue-Attempt": "1",
        "X-TaskQueue-User": "user_12345",
        "X-TaskQueue-Scheduled-At": "2024-01-15T10:00:00Z",
        "traceparent": traceparent(JOB),
        "Content-Type": "application/json",
    }


def test_headers_of_the_task_are_added_with_their_secrets_and_a_content_type_of_its_own() -> None:
    target = Target(endpoint=URL, headers={"Authorization": "Bearer ${env:T}", "content-type": "text/plain"})

    headers = _request(target, T="s3cret").headers

    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["content-type"] == "text/plain"
    assert "Content-Type" not in headers


@given(USER_IDS)
def test_any_user_id_fits_into_a_header_and_can_be_read_back(user_id: str) -> None:
    value = _request(Target(endpoint=URL), replace(JOB, user_id=user_id)).headers["X-TaskQueue-User"]

    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert unquote(value) == user_id


@given(USER_IDS.filter(lambda user_id: user_id not in {".", ".."}))
def test_any_user_id_stays_within_its_place_in_the_address(user_id: str) -> None:
    target = Target(endpoint="https://reports.example/users/{user_id}/reports?of={user_id}&task={task_id}")

    parts = urlsplit(_request(target, replace(JOB, user_id=user_id)).url)

    segments = parts.path.split("/")
    assert [*segments[:2], unquote(segments[2]), *segments[3:]] == ["", "users", user_id, "reports"]
    assert parse_qs(parts.query, keep_blank_values=True) == {"of": [user_id], "task": ["daily_report"]}
    assert parts.fragment == ""


@pytest.mark.parametrize("user_id", [".", ".."])
def test_a_user_id_that_would_be_a_step_in_a_path_is_refused_there_and_nowhere_else(user_id: str) -> None:
    job = replace(JOB, user_id=user_id)

    with pytest.raises(InvalidValueError, match="segment of a path"):
        _request(Target(endpoint="https://h/users/{user_id}/report"), job)

    assert urlsplit(_request(Target(endpoint="https://h/users/u-{user_id}?of={user_id}"), job).url).path == (
        f"/users/u-{user_id}"
    )


def test_attempts_of_one_job_share_the_trace_and_have_spans_of_their_own() -> None:
    first, second = traceparent(JOB), traceparent(replace(JOB, attempt=2))

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first)
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]
