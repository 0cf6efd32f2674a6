"""From a task and a job to the HTTP request: address, headers, body, as docs/http-contract.md promises."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from taskqueue import __version__
from taskqueue.core.instants import rfc3339
from taskqueue.core.job import Job
from taskqueue.core.reference import host_by_reference
from taskqueue.core.task import Task
from taskqueue.errors import InvalidValueError
from taskqueue.worker.address import address_of
from taskqueue.worker.http_call import HttpRequest
from taskqueue.worker.references import References
from taskqueue.worker.signing import signature_headers, signing_key

USER_AGENT = f"taskqueue/{__version__}"

#: no server takes a longer line, and what people put into a query is shorter by far
_MAX_URL_BYTES = 64 * 1024

#: ids as most systems write them, which any header can carry
_PLAIN = re.compile(r"[A-Za-z0-9._~:@-]+", re.ASCII)

#: W3C Trace Context, 3.2.2: bytes of a trace id and of a span id, neither of which is all zeros
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def build_request(task: Task, job: Job, references: References, started_at: datetime) -> HttpRequest:
    """Return the request of one attempt. Raises InvalidValueError when it cannot be built; trying again will not help.

    POST, PUT and PATCH carry the payload as it is; GET and DELETE carry its fields as query parameters. `started_at` is
    the instant that a signature bears.
    """
    url = address_of(task.target.endpoint, job.user_id, task.id, references)
    body = None
    headers = {**_own_headers(job), **references.resolve_all(task.target.headers)}
    if task.target.method in _METHODS_WITH_BODY:
        body = job.payload
        if not any(name.lower() == "content-type" for name in task.target.headers):
            headers["Content-Type"] = "application/json"
    else:
        url = _with_query(url, job)
    if task.target.signing_secrets:
        headers |= _signature(task.target.signing_secrets, job, started_at, body or b"", references)
    host = host_by_reference(task.target.endpoint)
    return HttpRequest(method=task.target.method, url=url, headers=headers, body=body, host_shown=host)


def _signature(
    secrets: Sequence[str], job: Job, started_at: datetime, body: bytes, references: References
) -> Mapping[str, str]:
    keys = [signing_key(references.value("signing secret", reference), reference) for reference in secrets]
    # A dot ends the id in what is signed; only ids of other systems have any.
    message_id = _header_text(job.id).replace(".", "%2E")
    return signature_headers(keys, message_id, int(started_at.timestamp()), body)


def _own_headers(job: Job) -> dict[str, str]:
    return {
        "Idempotency-Key": _header_text(job.id),
        "X-TaskQueue-Task": job.task_type_id,
        "X-TaskQueue-Job": _header_text(job.id),
        "X-TaskQueue-Attempt": str(job.attempt),
        "X-TaskQueue-User": _header_text(job.user_id),
        "X-TaskQueue-Scheduled-At": _time_text(job.scheduled_at),
        "traceparent": traceparent(job),
    }


#: all jobs of an occurrence have the same one
_time_text = lru_cache(maxsize=1024)(rfc3339)


def _header_text(text: str) -> str:
    """Return `text` percent-encoded where a header could not carry it: outside visible ASCII, and `%` itself."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="!#$&'()*+,/:;=?@[]^`{|}<>\"\\")


def traceparent(job: Job) -> str:
    """Return the W3C Trace Context header: one trace for a job, one span for each of its attempts.

    The trace id is the job's id without its dashes, where that is a UUID.
    """
    trace = job.id.replace("-", "")
    if not _TRACE_ID.fullmatch(trace):
        trace = hashlib.blake2b(job.id.encode(), digest_size=_TRACE_BYTES).hexdigest()
    span = (int(trace[_TRACE_BYTES:], 16) + job.attempt) % 256**_SPAN_BYTES
    return f"00-{trace}-{span or 1:016x}-01"


def _with_query(url: str, job: Job) -> str:
    parts = urlsplit(url)
    try:
        fields = urlencode(_query_fields(job), quote_via=quote)
    except UnicodeEncodeError:
        raise InvalidValueError("the payload holds half a surrogate pair, which no query can carry") from None
    query = "&".join(filter(None, (parts.query, fields)))
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    if len(url) > _MAX_URL_BYTES:
        raise InvalidValueError(f"the payload makes a URL of {len(url)} bytes; use POST, which sends it as the body")
    return url


def _query_fields(job: Job) -> Mapping[str, str]:
    """Return the payload's fields as texts: `parameters` one by one, anything that is no text as JSON."""
    if not job.payload:
        return {}
    try:
        payload = json.loads(job.payload)
    except (ValueError, RecursionError):
        raise InvalidValueError("the payload is not JSON, and a call without a body needs its fields") from None
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        raise InvalidValueError("the payload is no JSON object, and a call without a body needs its fields")
    parameters = payload.pop("parameters", None)
    fields = {**payload, **parameters} if isinstance(parameters, dict) else payload
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
