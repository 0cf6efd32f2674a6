"""Keeps secrets that an endpoint sends back out of all that is kept of its answer.

A task's secrets are known only at the call, so its answer is searched for them before anything is recorded: as they
are, and as answers tend to show them: percent-encoded, in JSON, in HTML, in hexadecimal, inside base64, and as what
they are the base64 of. What cannot be searched, for it is compressed or in no superset of ASCII, is not to be kept.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, urlsplit

from taskqueue.core.reference import REFERENCE
from taskqueue.core.task import Target, Task
from taskqueue.worker.references import References

MARK = "[redacted]"

#: what is shorter is no secret, and would be found in every text
_SHORTEST = 4

#: a shorter path, such as /api/v1, is no secret either
_SHORTEST_PATH = 12

_TO_STANDARD_ALPHABET = str.maketrans("-_", "+/")

#: how Standard Webhooks marks a secret that is base64
_WEBHOOK_PREFIX = "whsec_"

#: encodings of text in which no secret stands as it does in ASCII
_WIDE_CHARSET = re.compile(r";\s*charset\s*=\s*\"?\s*(?:utf-?(?:7|16|32)|ucs-?[24]|iso-10646)", re.IGNORECASE)

#: tasks whose references are remembered: those of tasks that are gone must not stay for ever
_MOST_TASKS = 1000


def searchable(body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a secret in `body` would be found; `headers` are those of the answer, by names in lower case."""
    codings = headers.get("content-encoding", "").lower().split(",")
    if any(coding.strip() not in {"", "identity"} for coding in codings):
        return False
    # In UTF-16 and UTF-32, named or not, ASCII text is full of zeros, which no other text has.
    return b"\0" not in body and _WIDE_CHARSET.search(headers.get("content-type", "")) is None


class Redactor:
    """Replaces the secrets of one request."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._forms = _forms(secrets)

    def body(self, body: bytes, *, cut: bool) -> bytes:
        """Return `body` without secrets; one that is `cut` may end amid a secret, whose beginning goes too."""
        for form in self._forms:
            if form in body:
                body = body.replace(form, MARK.encode())
        if cut:
            for form in self._forms:
                body = _without_beginning_of(form, body)
        return body

    def text(self, text: str) -> str:
        """Return `text` without secrets. Lone surrogates become `?`."""
        return self.body(text.encode(errors="replace"), cut=False).decode()


class Redaction:
    """Knows which references each task has, and what they stand for."""

    def __init__(self, references: References) -> None:
        self._references = references
        #: by task id: its target, as long as that is in force, and the references in it
        self._known: dict[str, tuple[Target, tuple[str, ...]]] = {}

    def of(self, task: Task) -> Redactor | None:
        """Return what cleans an answer to `task`, None for a task without references.

        To be asked right after the request was built, which found every reference in order. Raises InvalidValueError
        where one is not (any more).
        """
        known = self._known.get(task.id)
        if known is None or known[0] is not task.target:
            if len(self._known) >= _MOST_TASKS:
                self._known.clear()
            known = self._known[task.id] = (task.target, _references_in(task.target))
        if not known[1]:
            return None
        return Redactor(tuple(self._references.value("redaction", reference) for reference in known[1]))


def _references_in(target: Target) -> tuple[str, ...]:
    places = (target.endpoint, *target.headers.values(), *target.signing_secrets)
    return tuple(dict.fromkeys(match[0] for place in places for match in REFERENCE.finditer(place)))


@lru_cache(maxsize=256)
def _forms(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return what to look for, the longest first: a form may hold another."""
    parts = {part for value in secrets for part in (value, value.strip(), *_parts_of_url(value), *_decoded(value))}
    texts = {text for part in parts for text in (part, part.lower()) if len(text.encode()) >= _SHORTEST}
    # Twice: a header that holds base64, an address that stands in the query of another.
    once = {form for text in texts for form in _written(text)}
    twice = {form for text in once for form in _written(text)}
    forms = {text.encode() for text in twice} | {form for text in once for form in _inside_base64(text.encode())}
    forms |= {form.encode() for text in once for form in _in_hex(text.encode())}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _parts_of_url(value: str) -> Iterable[str]:
    """Yield what errors and servers name of a URL: its host, with and without the rest of the authority, its path."""
    try:
        url = urlsplit(value)
        yield from (url.netloc, url.hostname or "")
    except ValueError:
        return
    if url.netloc and len(target := value.partition(url.netloc)[2]) >= _SHORTEST_PATH:
        yield target


def _decoded(value: str) -> Iterable[str]:
    """Yield the text of which `value` is the base64, if it is any; of `user:password` (RFC 7617) the latter as well."""
    encoded = value.strip().removeprefix(_WEBHOOK_PREFIX).rstrip("=").translate(_TO_STANDARD_ALPHABET)
    try:
        text = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return
    if text.isprintable():
        yield from (text, text.partition(":")[2])


def _in_hex(secret: bytes) -> Iterable[str]:
    yield from (secret.hex(), secret.hex().upper())


def _written(text: str) -> Iterable[str]:
    """Yield `text` as it is, and as URLs, JSON, HTML and Python show it."""
    for escaped in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield escaped
        yield _lower_case_escapes(escaped)
    in_json = json.dumps(text)[1:-1]
    yield from (in_json, in_json.replace("/", "\\/"), json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (text, html.escape(text), repr(text)[1:-1])


def _lower_case_escapes(escaped: str) -> str:
    head, *escapes = escaped.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in escapes)


def _inside_base64(secret: bytes) -> Iterable[bytes]:
    """Yield what of the secret can be told in base64 (RFC 4648, both alphabets) of a text that it stands in.

    The text before it shifts it by 0, 1 or 2 bytes; characters that hold bits of its neighbours are not part of it.
    """
    for shift, first in ((0, 0), (1, 2), (2, 3)):
        last = (shift + len(secret)) * 8 // 6
        padded = b"\0" * shift + secret
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(padded)[first:last]
            if len(core) >= _SHORTEST:
                yield core


def _without_beginning_of(form: bytes, body: bytes) -> bytes:
    start = max(len(body) - len(form) + 1, 0)
    while (start := body.find(form[:_SHORTEST], start)) >= 0:
        if form.startswith(body[start:]):
            return body[:start] + MARK.encode()
        start += 1
    return body
