"""Which endpoints and headers a task may have.

The grammar is RFC 9110 (header names, section 5.1) and RFC 3986 (URLs); what is refused beyond it is what the worker
sets itself, and what would let one request be read as two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from taskqueue.config.problems import did_you_mean
from taskqueue.core.reference import REFERENCE, host_by_reference, is_reference, without_references
from taskqueue.errors import InvalidValueError

MAX_URL = 2048
MAX_HEADERS = 64
MAX_HEADER_VALUE = 8192

#: what an endpoint may hold in braces; the worker fills in percent-encoded ids
PLACEHOLDERS = frozenset({"user_id", "task_id"})

#: RFC 3986 section 5.2.4 takes them out of a path, percent-encoded or not
DOT_SEGMENTS = frozenset({".", ".."})

_URL_CHARACTERS = re.compile(r"[!-~]+", re.ASCII)
_UNSAFE_IN_URL = re.compile(r"[\\\"<>^`|]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HEADER_VALUE = re.compile(r"[ -~]*", re.ASCII)
_LINE_BREAK = re.compile(r"[\r\n\0]")
#: a name, with underscores as container networks have them, or an address in brackets, which urlsplit has read
_HOST = re.compile(r"(?=.{1,254}$)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[^\[\]]*:[^\[\]]*", re.ASCII)
_PATH_BEGINS = re.compile(r"[/?#]")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)

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
#: the second one is of Standard Webhooks: whoever verifies a signature must not find one that the worker did not make
_OUR_HEADER_PREFIXES = ("x-taskqueue-", "webhook-")


def check_endpoint(url: str) -> str:
    """Return `url`, or raise InvalidValueError: an http(s) URL with a host, without userinfo, fragment and blanks.

    It may hold `{user_id}` and `{task_id}` behind the host, and references in its path and query, for its whole host or
    for its whole beginning. The error text never repeats the URL.
    """
    if len(url) > MAX_URL:
        raise InvalidValueError(f"endpoint of {len(url)} characters; use at most {MAX_URL}")
    judged = _judged(url)
    _check_characters(judged)
    _check_placeholders(judged)
    try:
        parts = urlsplit(judged)
        port = parts.port
    except ValueError:
        raise InvalidValueError("endpoint has a malformed host or port; use https://host[:port]/path") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise InvalidValueError("endpoint is not an http or https URL with a host; use https://host[:port]/path")
    _check_parts(parts)
    if "#" in judged:
        raise InvalidValueError("endpoint has a fragment (#), which is never sent; remove it")
    return url


def check_header_name(name: str) -> str:
    """Return `name`, or raise InvalidValueError: no HTTP token, or a header that the client or the worker sets."""
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidValueError("a header name is not an HTTP token; use letters, digits and -")
    # Behind CGI and WSGI both stand as one variable: HTTP_X_TASKQUEUE_JOB.
    known = name.lower().replace("_", "-")
    if known in _CLIENT_HEADERS:
        raise InvalidValueError(f"header {name} is set by the HTTP client; remove it")
    if known in _OUR_HEADERS or known.startswith(_OUR_HEADER_PREFIXES):
        raise InvalidValueError(f"header {name} is set by the worker for each job; remove it")
    return name


def check_header_value(value: str) -> str:
    """Return `value`, or raise InvalidValueError: it cannot be sent, or a reference in it is none.

    `${env:NAME}` and `${file:/path}` stay as they are, the worker fills them in at the call. The error text never
    repeats the value.
    """
    if _LINE_BREAK.search(value):
        raise InvalidValueError("the header's value has a line break or NUL, which would end it there; remove it")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise InvalidValueError("the header's value is not printable ASCII, or has outer blanks; encode it")
    if len(value) > MAX_HEADER_VALUE:
        raise InvalidValueError(f"the header's value has {len(value)} characters; use at most {MAX_HEADER_VALUE}")
    if "${" in REFERENCE.sub("", value):
        raise InvalidValueError("the header's value has a malformed reference; use ${env:NAME} or ${file:/path}")
    return value


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers`, or raise InvalidValueError where they are too many or one stands there twice.

    The names and values for themselves are `check_header_name`'s and `check_header_value`'s business.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidValueError(f"{len(headers)} headers; use at most {MAX_HEADERS}")
    seen = dict[str, str]()
    for name in headers:
        first = seen.setdefault(name.lower(), name)
        if first != name:
            raise InvalidValueError(f"header {name} stands there also as {first}; keep one of them")
    return dict(headers)


def _before_path(url: str) -> str:
    """Return scheme, user and host of a URL that need not be one."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + _PATH_BEGINS.split(rest, maxsplit=1)[0] if mark else _PATH_BEGINS.split(url, maxsplit=1)[0]


def check_signing_secrets(secrets: list[str]) -> list[str]:
    """Return `secrets`, or raise InvalidValueError: not references, or the same one twice. Its text repeats none."""
    if not all(map(is_reference, secrets)):
        # Definitions go to Redis, and with them whatever stands in the file.
        raise InvalidValueError("a signing secret is not a reference; use ${env:NAME} or ${file:/path}")
    if len(secrets) != len(set(secrets)):
        raise InvalidValueError("a signing secret stands there twice; keep one of them")
    return secrets


def _judged(url: str) -> str:
    """Return `url` with a plain word in place of each reference. Raises InvalidValueError where one cannot be."""
    if host_by_reference(url) is None and "${" in _before_path(url):
        raise InvalidValueError(
            "endpoint has a reference in a part of its host; let one stand for all of it, with its port: "
            "https://${env:HOST}/path, or ${env:URL}/path"
        )
    if "${" in (judged := without_references(url)):
        raise InvalidValueError("endpoint has a malformed reference; use ${env:NAME} or ${file:/path}")
    return judged


def _check_characters(url: str) -> None:
    if not _before_path(url).isascii():
        raise InvalidValueError("endpoint has a host outside ASCII; write it as the DNS knows it, in its xn-- form")
    if not _URL_CHARACTERS.fullmatch(url) or _UNSAFE_IN_URL.search(url):
        raise InvalidValueError("endpoint has a blank or another character that no URL has; percent-encode it")
    if _LONE_PERCENT.search(url):
        raise InvalidValueError("endpoint has a % that no two hexadecimal digits follow; write %25 for the character")


def _check_placeholders(url: str) -> None:
    for placeholder in _BRACES.findall(url):
        if placeholder not in PLACEHOLDERS:
            raise InvalidValueError(f"endpoint has an unknown placeholder; {did_you_mean(placeholder, PLACEHOLDERS)}")
    if "{" in (rest := _BRACES.sub("", url)) or "}" in rest:
        raise InvalidValueError("endpoint has a brace without its partner; percent-encode a literal one")
    if "{" in _before_path(url):
        raise InvalidValueError("endpoint has a placeholder in its scheme or host; use one in the path or query only")


def _check_parts(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise InvalidValueError("endpoint holds a user or password; use an Authorization header with ${env:NAME}")
    if not _HOST.fullmatch(parts.hostname or ""):
        raise InvalidValueError("endpoint has a host that is neither a DNS name nor an address; correct it")
    if any(unquote(segment) in DOT_SEGMENTS for segment in parts.path.split("/")):
        raise InvalidValueError("endpoint has a . or .. as a segment of its path; write the path that it leads to")
