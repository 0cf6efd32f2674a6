from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.http_rules import (
    check_endpoint,
    check_header_name,
    check_header_value,
    check_headers,
    check_signing_secrets,
)
from taskqueue.errors import InvalidValueError


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/reports/daily",
        "http://localhost:8000/",
        "http://[::1]:8000/x",
        "https://h/users/{user_id}/{task_id}?u={user_id}",
        "HTTPS://h",
        "https://h?u={user_id}",
        "https://h./a..b/.../.well-known",
        "https://my_service:8080/",
        "https://xn--bcher-kva.example/%C3%A9",
        "http://127.0.0.1:80/x",
        "https://h/.{user_id}",
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
        ("file:///etc/passwd", "not an http or https URL"),
        ("javascript:alert(1)", "not an http or https URL"),
        ("//h/x", "not an http or https URL"),
        ("https:h/x", "not an http or https URL"),
        ("https:///x", "not an http or https URL"),
        ("https://h:0/", "not an http or https URL"),
        ("https://h:99999/", "malformed host or port"),
        ("https://h:8x/", "malformed host or port"),
        ("https://[::1/", "malformed host or port"),
        ("https://[h]/", "malformed host or port"),
        ("https://user:hunter2@h/", "user or password"),
        ("https://hunter2@h/", "user or password"),
        ("https://@h/", "user or password"),
        ("https://a..h/", "neither a DNS name"),
        ("https://.h/", "neither a DNS name"),
        ("https://h,i/", "neither a DNS name"),
        ("https://%68unter2/", "neither a DNS name"),
        (f"https://{'x' * 64}/", "neither a DNS name"),
        (f"https://{'x.' * 130}/", "neither a DNS name"),
        ("https://b\u00fccher.example/", "xn-- form"),
        ("https://127\u30020\u30020\u30021/", "xn-- form"),
        ("https://\u2460.example/?hunter2", "xn-- form"),
        ("https://h/a b", "blank"),
        (" https://h/", "blank"),
        ("https://h/\t", "blank"),
        ("https://h/\r\nX: hunter2", "blank"),
        ("https://h/\0", "blank"),
        ("https://h\\evil/", "no URL has"),
        ("https://h/a\\..\\b", "no URL has"),
        ("https://h/é", "percent-encode"),
        ("https://h/100%", "%25"),
        ("https://h/%zz", "%25"),
        ("https://h/%{user_id}", "%25"),
        ("https://h/..", "a . or .."),
        ("https://h/a/./b", "a . or .."),
        ("https://h/a/%2e%2E/b", "a . or .."),
        ("https://h/a/.%2e?u={user_id}", "a . or .."),
        ("https://h/{user_id", "brace without its partner"),
        ("https://h/user_id}", "brace without its partner"),
        ("https://h/{{user_id}}", "brace without its partner"),
        ("https://{user_id}.h/", "placeholder in its scheme or host"),
        ("https://h{task_id}", "placeholder in its scheme or host"),
        ("https://h:{user_id}/", "placeholder in its scheme or host"),
        ("https://{user_id}@h/", "placeholder in its scheme or host"),
        ("{task_id}://h/", "placeholder in its scheme or host"),
        ("https://h/#top", "fragment"),
        ("https://h/#", "fragment"),
        ("https://h/" + "x" * 2048, "at most 2048"),
    ],
)
def test_what_is_no_endpoint_is_refused_without_repeating_it(url: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as caught:
        check_endpoint(url)
    assert "hunter2" not in str(caught.value).lower()


@pytest.mark.parametrize("name", ["user", "userid", "user-id", "userId", "USER_ID", "users_id"])
def test_a_placeholder_that_is_nearly_right_is_put_right(name: str) -> None:
    with pytest.raises(InvalidValueError, match="unknown placeholder; did you mean 'user_id'"):
        check_endpoint(f"https://h/{{{name}}}")


@pytest.mark.parametrize("name", ["", "hunter2", "0", "$"])
def test_an_unknown_placeholder_is_answered_with_all_that_there_are(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"unknown placeholder; known here: task_id, user_id$"):
        check_endpoint(f"https://h/{{{name}}}")


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
    assert [check_header_name(name) for name in headers] == list(headers)
    assert [check_header_value(value) for value in headers.values()] == list(headers.values())


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\r\nb", "a\n", "a\0", "(a)", "\uff21", "x" * 129])
def test_a_header_name_is_a_token(name: str) -> None:
    with pytest.raises(InvalidValueError, match="not an HTTP token"):
        check_header_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Trailer", "Upgrade", "Expect"),
        *("Keep-Alive", "Proxy-Connection", "Content_Length", "transfer_encoding"),
    ],
)
def test_headers_of_the_connection_are_left_to_the_client(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"header {name} is set by the HTTP client; remove it"):
        check_header_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Idempotency-Key",
            "X-TaskQueue-Job",
            "x-taskqueue-anything",
            "traceparent",
            "webhook-id",
            "Webhook-Signature",
        ),
        *("idempotency_key", "X_TASKQUEUE_JOB", "webhook_timestamp"),
    ],
)
def test_headers_of_the_worker_are_left_to_it_also_where_a_server_takes_underscores_for_hyphens(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"header {name} is set by the worker for each job; remove it"):
        check_header_name(name)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("hunter2\r\nX: y", "line break"),
        ("hunter2\n folded", "line break"),
        ("hunter2\r", "line break"),
        ("hunter2\0", "line break or NUL"),
        ("hunter2é", "printable ASCII"),
        ("hunter2\x7f", "printable ASCII"),
        ("hunter2\ud800", "printable ASCII"),
        ("hun\tter2", "printable ASCII"),
        (" hunter2", "outer blanks"),
        ("hunter2 ", "outer blanks"),
        ("hunter2" * 2000, "14000 characters"),
    ],
)
def test_a_header_value_that_could_split_a_request_is_refused_unseen(value: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as caught:
        check_header_value(value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        *("${TOKEN}", "${env:}", "${env:1X}", "${env:A B}", "${env: A}", "${ENV:X}", "${env:X", "Bearer ${env:X} ${"),
        *("${file:relative}", "${file:}", "${file:/a b}", "${vault:x}", "${}", "${env:${env:X}}", "$${env:}"),
    ],
)
def test_a_malformed_reference_is_refused(value: str) -> None:
    with pytest.raises(InvalidValueError, match=r"malformed reference; use \$\{env:NAME\} or \$\{file:/path\}"):
        check_header_value(value)


@given(st.text(max_size=40))
def test_any_header_value_can_be_sent_or_is_refused(value: str) -> None:
    try:
        checked = check_header_value(value)
    except InvalidValueError:
        return
    assert checked.isascii()
    assert checked == "" or checked.isprintable()


def test_a_header_may_stand_there_once_in_any_case() -> None:
    with pytest.raises(InvalidValueError, match="header x-key stands there also as X-Key; keep one"):
        check_headers({"X-Key": "1", "x-key": "2"})


def test_there_is_a_limit_to_the_number_of_headers() -> None:
    with pytest.raises(InvalidValueError, match="65 headers"):
        check_headers({f"X-{number}": "x" for number in range(65)})


@pytest.mark.parametrize(
    "url",
    [
        "https://h/in?token=${env:HOOK_TOKEN}",
        "https://h/${file:/run/secrets/a?b#c}/in",
        "https://h/${env:A}{user_id}${env:B}",
        "https://${env:API_HOST}/in",
        "http://${env:API_HOST}",
        "${env:API_URL}/in?u={user_id}",
        "${file:/run/secrets/url}",
    ],
)
def test_an_endpoint_may_hold_references_behind_its_host_and_for_all_of_it(url: str) -> None:
    assert check_endpoint(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://api.${env:REGION}.example/", "part of its host"),
        ("https://${env:API_HOST}:8080/", "part of its host"),
        ("https://${env:USER}@h/", "part of its host"),
        ("https://${env:A}${env:B}/", "part of its host"),
        ("https://h:${env:PORT}/", "part of its host"),
        ("${env:SCHEME}://h/", "part of its host"),
        ("ftp://${env:API_HOST}/", "part of its host"),
        ("https://h/${env:1X}", "malformed reference"),
        ("https://h/${vault:x}", "malformed reference"),
        ("https://h/${user_id}", "malformed reference"),
        ("https://h/${env:{user_id}}", "malformed reference"),
        ("${env:API_URL}/#top", "fragment"),
        ("${env:API_URL}/a b", "blank"),
        ("https://h/%${env:HEX}", "%25"),
    ],
)
def test_a_reference_that_cannot_stand_there_is_refused(url: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        check_endpoint(url)


def test_signing_secrets_are_references() -> None:
    assert check_signing_secrets(["${env:NEW}", "${file:/run/secrets/old}"]) == [
        "${env:NEW}",
        "${file:/run/secrets/old}",
    ]


@pytest.mark.parametrize("secret", ["whsec_aHVudGVyMg==", "hunter2${env:A}", "${env:A}hunter2", "${env:}", ""])
def test_a_signing_secret_in_the_file_is_refused_unseen(secret: str) -> None:
    with pytest.raises(InvalidValueError, match=r"not a reference; use \$\{env:NAME\}") as caught:
        check_signing_secrets(["${env:NEW}", secret])
    assert "hunter2" not in str(caught.value)
    assert "whsec_" not in str(caught.value)


def test_a_secret_is_not_replaced_by_itself() -> None:
    with pytest.raises(InvalidValueError, match="stands there twice"):
        check_signing_secrets(["${env:A}", "${env:A}"])
