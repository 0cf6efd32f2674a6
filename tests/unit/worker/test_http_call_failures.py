import socket
import ssl
from urllib.parse import urlsplit

import pytest

from taskqueue.core.error_codes import ErrorCode
from taskqueue.errors import InvalidValueError
from taskqueue.worker.http_call import Failure, HttpRequest, Sent, _failure_of, _hiding_host, _host_of, _lines
from taskqueue.worker.http_connection import BrokenAnswerError, BrokenConnectionError


@pytest.mark.parametrize(
    ("error", "sent", "code"),
    [
        (TimeoutError(), "unknown", "timeout"),
        (TimeoutError(), "not_sent", "connect_timeout"),
        (ConnectionRefusedError(111, "refused"), "not_sent", "connection_refused"),
        (OSError(113, "no route"), "not_sent", "connection_failed"),
        (OSError(24, "too many open files"), "not_sent", "connection_failed"),
        (TimeoutError(110, "timed out"), "not_sent", "connection_failed"),
        (OSError("Multiple exceptions: ..."), "not_sent", "connection_failed"),
        (socket.gaierror(-2, "unknown"), "not_sent", "dns_failure"),
        (ssl.SSLError(1, "handshake"), "not_sent", "tls_error"),
        (ssl.SSLCertVerificationError(1, "bad"), "not_sent", "tls_error"),
        (InvalidValueError("the URL cannot be called"), "not_sent", "invalid_request"),
        (UnicodeError("label too long"), "not_sent", "invalid_request"),
        (BrokenAnswerError("is not valid HTTP"), "unknown", "protocol_error"),
        (BrokenConnectionError(), "unknown", "connection_reset"),
    ],
)
def test_whatever_goes_wrong_has_a_stable_code(error: Exception, sent: Sent, code: str) -> None:
    failure = _failure_of(error, "api.test:443", sent=sent)

    assert failure.code == code
    assert failure.sent == sent
    assert failure.message.startswith("api.test:443: ")


def test_a_connection_failure_names_the_errno() -> None:
    failure = _failure_of(OSError(113, "no route"), "api.test", sent="not_sent")

    assert failure == Failure(
        code="connection_failed", message="api.test: cannot connect (EHOSTUNREACH)", sent="not_sent"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.test/users/u1?token=canary", "api.test"),
        ("http://user:canary@api.test:8080/x", "api.test:8080"),
        ("http://[::1]:80/x", "::1:80"),
        ("http://api.test:port/", "invalid URL"),
        ("nonsense canary", "invalid URL"),
    ],
)
def test_only_the_host_of_a_url_is_named(url: str, host: str) -> None:
    assert _host_of(url) == host


@pytest.mark.parametrize("host", ["canary.test", "canary.test:8443", "[::1]:8443"])
def test_a_host_that_is_not_to_be_shown_is_named_by_its_reference_also_within_the_reason(host: str) -> None:
    url = f"https://{host}/x"
    name = urlsplit(url).hostname
    reason = f"TLS failed: Hostname mismatch, certificate is not valid for '{name}'."
    failure = Failure(code=ErrorCode.TLS_ERROR, message=f"{_host_of(url)}: {reason}", sent="not_sent")

    shown = _hiding_host(failure, url, "https://${env:H}").message

    assert shown == (
        "https://${env:H}: TLS failed: Hostname mismatch, certificate is not valid for 'https://${env:H}'."
    )


def test_a_header_that_cannot_be_sent_is_named_and_its_value_is_not() -> None:
    with pytest.raises(InvalidValueError, match="header X-Key has a character") as caught:
        _lines({"X-Fine": "fine", "X-Key": "canary\r\nX-Other: 1"})

    assert "canary" not in str(caught.value)


def test_the_repr_of_a_request_shows_neither_url_nor_headers_nor_body() -> None:
    request = HttpRequest(method="POST", url="http://h/?k=canary", headers={"Authorization": "canary"}, body=b"canary")

    assert "canary" not in repr(request)
