import socket
import ssl

import pytest

from taskqueue.errors import InvalidValueError
from taskqueue.worker.http_call import Failure, HttpRequest, Sent, _failure_of, _host_of
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


def test_the_repr_of_a_request_shows_neither_url_nor_headers_nor_body() -> None:
    request = HttpRequest(method="POST", url="http://h/?k=canary", headers={"Authorization": "canary"}, body=b"canary")

    assert "canary" not in repr(request)
