"""From a task and a job to the HTTP request: address, headers, body, as docs/http-contract.md promises."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from taskqueue import __version__
from taskqueue.core.ids import percent_encoded
from taskqueue.core.instants import rfc3339
from taskqueue.core.job import Job
from taskqueue.core.task import Task
from taskqueue.errors import InvalidValueError
from taskqueue.worker.http_call import HttpRequest
from taskqueue.worker.references import References

USER_AGENT = f"taskqueue/{__version__}"

#: RFC 3986 section 5.2.4 takes them out of a path, percent-encoded or not
_DOT_SEGMENTS = frozenset({".", ".."})

#: ids as most systems write them, which any header can carry
_PLAIN = re.compile(r"[A-Za-z0-9._~:@-]+", re.ASCII)

#: W3C Trace Context, 3.2.2: bytes of a trace id and of a span id, neither of which is all zeros
_TRACE_BYTES, _SPAN_BYTES = 16, 8

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def build_request(task: Task, job: Job, references: References) -> HttpRequest:
    """Return the request of one attempt. Raises InvalidValueError when it cannot be built; trying again will not help.

    POST, PUT and PATCH carry the payload as it is; GET and DELETE carry its fields as query parameters.
    """
    url = _address(task, job)
    body = None
    headers = {**_own_headers(job), **references.resolve_all(task.target.headers)}
    if task.target.method in _METHODS_WITH_BODY:
        body = job.payload
        if not any(name.lower() == "content-type" for name in task.target.headers):
            headers["Content-Type"] = "application/json"
    else:
        url = _with_query(url, job)
    return HttpRequest(method=task.target.method, url=url, headers=headers, body=body)


def _address(task: Task, job: Job) -> str:
    if "{" not in task.target.endpoint:
        return task.target.endpoint
    # Everything is encoded, so an id can be one segment or one value and nothing else.
    address = task.target.endpoint.replace("{user_id}", percent_encoded(job.user_id)).replace(
        "{task_id}", percent_encoded(task.id)
    )
    path = urlsplit(address).path
    if job.user_id in _DOT_SEGMENTS and not _DOT_SEGMENTS.isdisjoint(path.split("/")):
        raise InvalidValueError(
            f"user id {job.user_id!r} cannot be a segment of a path: proxies and servers take it for a step in the "
            "tree, and the call would reach another address; put {user_id} into the query, or call it by its body"
        )
    return address


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
    """Return the W3C Trace Context header: one trace for a job, one span for each of its attempts."""
    digest = hashlib.blake2b(job.id.encode(), digest_size=_TRACE_BYTES + _SPAN_BYTES).digest()
    span = (int.from_bytes(digest[_TRACE_BYTES:]) + job.attempt) % 256**_SPAN_BYTES
    return f"00-{digest[:_TRACE_BYTES].hex()}-{span or 1:016x}-01"


def _with_query(url: str, job: Job) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(_query_fields(job), quote_via=quote))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _query_fields(job: Job) -> Mapping[str, str]:
    """Return the payload's fields as texts: `parameters` one by one, anything that is no text as JSON."""
    if not job.payload:
        return {}
    try:
        payload = json.loads(job.payload)
    except (ValueError, RecursionError):
        raise InvalidValueError("the payload is not JSON, and a call without a body needs its fields") from None
    if not isinstance(payload, dict):
        raise InvalidValueError("the payload is no JSON object, and a call without a body needs its fields")
    parameters = payload.pop("parameters", None)
    fields = {**payload, **parameters} if isinstance(parameters, dict) else payload
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
