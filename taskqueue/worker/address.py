"""From an endpoint to the address of one call: placeholders and references filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from taskqueue.config.http_rules import DOT_SEGMENTS, check_endpoint
from taskqueue.core.ids import percent_encoded
from taskqueue.core.reference import REFERENCE, host_by_reference
from taskqueue.errors import InvalidValueError
from taskqueue.worker.references import References

_PLACE = "endpoint"

_GAP = re.compile(rf"{REFERENCE.pattern}|\{{(user_id|task_id)\}}", re.ASCII)


def address_of(endpoint: str, user_id: str, task_id: str, references: References) -> str:
    """Return the URL to call for `endpoint`: its placeholders and references replaced, each by one part of it.

    Raises InvalidValueError where a reference cannot be resolved, and where the call would reach another address.
    """
    if "{" not in endpoint:
        return endpoint
    ids = {"user_id": percent_encoded(user_id), "task_id": percent_encoded(task_id)}
    if "${" in endpoint:
        address = _resolved(endpoint, ids, references)
    else:
        # Everything is encoded, so an id can be one segment or one value and nothing else.
        address = endpoint.replace("{user_id}", ids["user_id"]).replace("{task_id}", ids["task_id"])
        # Only these two can become a step in the tree together with dots that stand around their placeholder.
        if user_id not in DOT_SEGMENTS and task_id not in DOT_SEGMENTS:
            return address
    _check_steps(urlsplit(address).path)
    return address


def _check_steps(path: str) -> None:
    for segment in path.split("/"):
        if unquote(segment) in DOT_SEGMENTS:
            raise InvalidValueError(
                f"what is filled into the endpoint would make {segment!r} a segment of a path: proxies and servers "
                "take it for a step in the tree, and the call would reach another address; put the placeholder or "
                "reference into the query"
            )


def _resolved(endpoint: str, ids: Mapping[str, str], references: References) -> str:
    """Return `endpoint` with all its gaps filled in one pass, so no id becomes a reference and no secret a placeholder.

    Whatever a reference stands for is one part of the path or query, unless it stands for the host.
    """

    def fill(gap: re.Match[str]) -> str:
        if (placeholder := gap[1]) is not None:
            return ids[placeholder]
        # The environment hands over bytes that are no UTF-8 as lone surrogates; they are sent as the bytes they were.
        return quote(references.value(_PLACE, gap[0]), safe="", errors="surrogateescape")

    host = host_by_reference(endpoint) or ""
    beginning = _beginning(host, references) if host else ""
    return beginning + _GAP.sub(fill, endpoint[len(host) :])


def _beginning(host: str, references: References) -> str:
    scheme, _, name = host.partition("${")
    reference = "${" + name
    try:
        return _checked_beginning(scheme, references.value(_PLACE, reference))
    except InvalidValueError as error:
        raise InvalidValueError(f"{reference} in the {error}") from None


@lru_cache(maxsize=256)
def _checked_beginning(scheme: str, value: str) -> str:
    """Return the URL that an endpoint begins with. Raises InvalidValueError, with a text about the endpoint."""
    url = check_endpoint(scheme + value)
    parts = urlsplit(url)
    if "{" in url or "?" in url or (scheme and parts.netloc != value):
        wanted = "host or host:port" if scheme else "https://host[:port][/path]"
        raise InvalidValueError(f"endpoint is not only its beginning; give it the value {wanted}")
    return url.removesuffix("/")
