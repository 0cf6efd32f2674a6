"""Which endpoints and headers a task may have.

The grammar is RFC 9110 (header names, section 5.1) and RFC 3986 (URLs); what is refused beyond it is what the worker
sets itself, and what would let one request be read as two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from taskqueue.errors import InvalidValueError

MAX_URL = 2048
MAX_HEADERS = 64
MAX_HEADER_VALUE = 8192

#: what an endpoint may hold in braces; the worker fills in percent-encoded ids
PLACEHOLDERS = frozenset({"user_id", "task_id"})

_URL_CHARACTERS = re.compile(r"[!-~]+", re.ASCII)
_UNSAFE_IN_URL = re.compile(r"[\\\"<>^`|]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~]*", re.ASCII)
_REFERENCE = re.compile(r"\$\{(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^{}\s]+)\}", re.ASCII)

#: the HTTP client frames the request and manages the connection
_CLIENT_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: the worker tells the endpoint which job it is
_OUR_HEADERS = frozenset({"idempotency-key", "traceparent"})
_OUR_HEADER_PREFIX = "x-taskqueue-"


def check_endpoint(url: str) -> str:
    """Return `url`, or raise InvalidValueError: an http(s) URL with a host, without userinfo, fragment and blanks.

    It may hold `{user_id}` and `{task_id}` behind the host. The error text never repeats the URL.
    """
    if len(url) > MAX_URL:
        raise InvalidValueError(f"endpoint of {len(url)} characters; use at most {MAX_URL}")
    if not _URL_CHARACTERS.fullmatch(url) or _UNSAFE_IN_URL.search(url):
        raise InvalidValueError("endpoint has a blank or another character that no URL has; percent-encode it")
    _check_placeholders(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValueError("endpoint has a malformed host or port; use https://host[:port]/path") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise InvalidValueError("endpoint is not an http or https URL with a host; use https://host[:port]/path")
    if "@" in parts.netloc:
        raise InvalidValueError("endpoint holds a user or password; use an Authorization header with ${env:NAME}")
    if "{" in parts.netloc:
        raise InvalidValueError("endpoint has a placeholder in its host; use one in the path or query only")
    if parts.fragment:
        raise InvalidValueError("endpoint has a fragment (#), which is never sent; remove it")
    return url


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers`, or raise InvalidValueError for a name or value that cannot or must not be sent.

    Values are printable ASCII; `${env:NAME}` and `${file:/path}` in them stay as they are, the worker fills them in at
    the call. The error text names the header and never its value.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidValueError(f"{len(headers)} headers; use at most {MAX_HEADERS}")
    seen = dict[str, str]()
    for name, value in headers.items():
        _check_header_name(name)
        if name.lower() in seen:
            raise InvalidValueError(f"header {name} stands there also as {seen[name.lower()]}; keep one of them")
        seen[name.lower()] = name
        _check_header_value(name, value)
    return dict(headers)


def has_reference(value: str) -> bool:
    """Say whether a header's `value` takes a secret from the environment or a file."""
    return _REFERENCE.search(value) is not None


def _check_placeholders(url: str) -> None:
    for placeholder in _BRACES.findall(url):
        if placeholder not in PLACEHOLDERS:
            raise InvalidValueError("endpoint has an unknown placeholder; use {user_id} or {task_id}")
    if "{" in (rest := _BRACES.sub("", url)) or "}" in rest:
        raise InvalidValueError("endpoint has a brace without its partner; percent-encode a literal one")


def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidValueError("a header name is not an HTTP token; use letters, digits and -")
    lower = name.lower()
    if lower in _CLIENT_HEADERS:
        raise InvalidValueError(f"header {name} is set by the HTTP client; remove it")
    if lower in _OUR_HEADERS or lower.startswith(_OUR_HEADER_PREFIX):
        raise InvalidValueError(f"header {name} is set by the worker for each job; remove it")


def _check_header_value(name: str, value: str) -> None:
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise InvalidValueError(f"header {name} has a value that is not printable ASCII, or outer blanks; encode it")
    if len(value) > MAX_HEADER_VALUE:
        raise InvalidValueError(f"header {name} has {len(value)} characters; use at most {MAX_HEADER_VALUE}")
    if "${" in _REFERENCE.sub("", value):
        raise InvalidValueError(f"header {name} has a malformed reference; use ${{env:NAME}} or ${{file:/path}}")
