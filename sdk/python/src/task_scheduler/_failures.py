"""Errors of the HTTP libraries, as errors of the SDK."""

from __future__ import annotations

import httpcore
import httpx

from task_scheduler._conversation import Try
from task_scheduler._settings import MAX_CONNECTIONS, Settings
from task_scheduler.errors import ConnectError, MalformedAnswerError, RequestTimeoutError, TaskSchedulerError

#: what sending a request may raise, with httpx's transports or our own
FOREIGN = (
    httpx.TransportError,
    httpx.DecodingError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    TimeoutError,
)

_NONE_FREE = (httpx.PoolTimeout, httpcore.PoolTimeout)
_CONNECT_LATE = (httpx.ConnectTimeout, httpcore.ConnectTimeout)
_LATE = (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError)


def as_ours(error: Exception, step: Try, settings: Settings) -> TaskSchedulerError:
    """Return the error to raise for `error`, which a try met.

    It does not refer to the foreign error, which refers to its request, and that to the key.
    """
    name, where = step.request.name, settings.base_url
    if isinstance(error, _NONE_FREE):
        return ConnectError(
            f"{name}: all {MAX_CONNECTIONS} connections of the client were in use for {step.timeout_s:g} s; "
            "use fewer threads or tasks at once, or give a greater timeout_s"
        )
    if isinstance(error, _CONNECT_LATE):
        return ConnectError(
            f"{name}: no connection to {where} within {min(settings.connect_timeout_s, step.timeout_s):g} s; "
            "check base_url and the network, or give a greater connect_timeout_s"
        )
    if isinstance(error, _LATE):
        return RequestTimeoutError(
            f"{name}: no whole answer from {where} within {step.timeout_s:g} s; try again, or give a greater timeout_s"
        )
    if isinstance(error, httpx.DecodingError):
        return MalformedAnswerError(f"{name}: the answer's compression is damaged; see what stands before {where}")
    said = settings.redacted(str(error)) or type(error).__name__
    return ConnectError(
        f"{name}: no connection to {where}, or it was cut ({said}); check base_url, and whether the API runs"
    )


def too_much(name: str, limit: int) -> MalformedAnswerError:
    """Return the error of an answer that is longer than the SDK reads."""
    return MalformedAnswerError(f"{name}: the answer is longer than {limit} bytes; ask for less, with a smaller limit")
