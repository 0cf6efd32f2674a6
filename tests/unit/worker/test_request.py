import base64
import json
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
from taskqueue.worker.signing import signature_headers
from tests.support.fakes import JOB, targeting
from tests.support.values import TEN_O_CLOCK

URL = "https://reports.example/daily"
USER_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _request(target: Target, job: Job = JOB, **environ: str) -> HttpRequest:
    return build_request(targeting(target), job, References(environ), TEN_O_CLOCK)


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


@pytest.mark.parametrize("payload", [b"", b"null", b"{}"])
def test_a_call_without_a_body_and_an_empty_payload_has_no_query(payload: bytes) -> None:
    assert _request(Target(endpoint=URL, method="GET"), replace(JOB, payload=payload)).url == URL


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


@pytest.mark.parametrize(
    "endpoint",
    ["https://h/.{user_id}/x", "https://h/%2e{user_id}", "https://h/{user_id}%2E?a=b", "https://h/a/{task_id}"],
)
def test_an_id_that_becomes_a_step_with_what_stands_around_it_is_refused_too(endpoint: str) -> None:
    task = replace(targeting(Target(endpoint=endpoint)), id="..")

    with pytest.raises(InvalidValueError, match="segment of a path"):
        build_request(task, replace(JOB, user_id="."), References({}), TEN_O_CLOCK)


hostile_ids = st.text(st.sampled_from("./\\%?#&=;:@{}$\r\n\t\0 aé2eF5c\u2215\U0001f600"), min_size=1, max_size=12)


@given(user_id=hostile_ids | USER_IDS | st.sampled_from(["%2e%2e", "%2e", "..%2f", "../..", "\r\nHost: x", "/" * 512]))
def test_no_user_id_changes_how_many_segments_and_fields_an_address_has(user_id: str) -> None:
    template = "https://h.example/users/{user_id}/v-{user_id}.json;{user_id}?a={user_id}&b=1"
    try:
        url = _request(Target(endpoint=template), replace(JOB, user_id=user_id)).url
    except InvalidValueError:
        assert user_id in {".", ".."}
        return

    assert re.fullmatch(r"[!-~]+", url)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "h.example", "")
    assert parts.path.count("/") == 3
    assert parts.path.count(";") == parts.query.count("&") == 1
    assert parts.query.count("=") == 2
    assert not {".", ".."} & {unquote(segment) for segment in parts.path.split("/")}


@given(job_id=hostile_ids | USER_IDS)
def test_no_id_of_a_job_of_another_system_ends_a_header(job_id: str) -> None:
    headers = _request(Target(endpoint=URL), replace(JOB, id=job_id)).headers

    assert unquote(headers["Idempotency-Key"]) == job_id
    assert all(re.fullmatch(r"[ -~]*", value) for value in headers.values())


@pytest.mark.parametrize("payload", [rb'{"a": "\ud800"}', rb'{"\ud800": 1}'])
def test_half_a_surrogate_pair_cannot_become_a_query(payload: bytes) -> None:
    with pytest.raises(InvalidValueError, match="surrogate"):
        _request(Target(endpoint=URL, method="GET"), replace(JOB, payload=payload))


def test_a_payload_that_is_too_long_for_a_query_is_refused_by_its_length_alone() -> None:
    payload = json.dumps({"hunter2": "hunter2" * 10_000}).encode()

    with pytest.raises(InvalidValueError, match="use POST") as caught:
        _request(Target(endpoint=URL, method="GET"), replace(JOB, payload=payload))

    assert "hunter2" not in str(caught.value)


def test_attempts_of_one_job_share_the_trace_and_have_spans_of_their_own() -> None:
    first, second = traceparent(JOB), traceparent(replace(JOB, attempt=2))

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first)
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]


def _secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


SIGNED = Target(endpoint=URL, signing_secrets=("${env:NEW}", "${env:OLD}"))


def test_a_request_without_signing_secrets_is_not_signed() -> None:
    assert not any(name.lower().startswith("webhook-") for name in _request(Target(endpoint=URL)).headers)


def test_a_signed_request_bears_the_jobs_id_the_attempts_start_and_a_signature_for_each_secret() -> None:
    new, old = b"n" * 24, b"o" * 64

    request = _request(SIGNED, NEW=_secret(new), OLD=_secret(old))

    at = int(TEN_O_CLOCK.timestamp())
    expected = signature_headers([new, old], JOB.id, at, JOB.payload)
    assert expected.items() <= request.headers.items()
    assert (expected["webhook-id"], expected["webhook-timestamp"]) == (JOB.id, str(at))


def test_a_request_without_a_body_is_signed_as_one_with_an_empty_body() -> None:
    target = replace(SIGNED, method="GET", signing_secrets=("${env:NEW}",))

    headers = _request(target, NEW=_secret(b"n" * 24)).headers

    expected = signature_headers([b"n" * 24], JOB.id, int(TEN_O_CLOCK.timestamp()), b"")
    assert headers["webhook-signature"] == expected["webhook-signature"]


@pytest.mark.parametrize("job_id", ["a.1.b", "über/1 ü.ü", "\r\nwebhook-timestamp: 1"])
def test_no_id_of_another_system_ends_early_in_what_is_signed_or_in_its_header(job_id: str) -> None:
    target = replace(SIGNED, signing_secrets=("${env:NEW}",))

    value = _request(target, replace(JOB, id=job_id), NEW=_secret(b"n" * 24)).headers["webhook-id"]

    assert "." not in value
    assert value.isascii()
    assert value.isprintable()
    assert unquote(value) == job_id


def test_a_signing_secret_that_is_missing_or_none_is_named_by_its_reference_and_never_shown() -> None:
    for environ in ({"NEW": _secret(b"n" * 24)}, {"NEW": _secret(b"n" * 24), "OLD": "whsec_canary"}):
        with pytest.raises(InvalidValueError, match=r"signing secret.*OLD") as caught:
            _request(SIGNED, **environ)
        assert "canary" not in str(caught.value)
