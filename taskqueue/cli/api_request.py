"""One request to the API as it is sent, once or again; the option that names its Idempotency-Key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from uuid import uuid4

import typer

from taskqueue.cli.terminal import printable
from taskqueue.errors import ConfigError

KEY_HEADER = "Idempotency-Key"

#: what docs/api.md says of a key, under "Sending again"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_MAYBE_DONE = "; it may have been carried out: look before you repeat it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`target` is path and query; `doubt` is added to an error after which nobody knows whether it was carried out."""

    method: str
    target: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""

    @property
    def repeatable(self) -> bool:
        """Whether the API carries it out once, however often it comes."""
        return KEY_HEADER in self.headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Under which key a POST is sent, and what to say where nobody knows whether it was carried out."""

    key: str = field(default_factory=lambda: str(uuid4()))
    doubt: str = _MAYBE_DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOption:
    """The option of verbs that would make something twice."""

    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The key of a request that got no answer: it is not carried out twice."),
    ] = None

    def once(self, look: str) -> Once:
        """Return the key of the command line or a new one; `look` is the command that shows what was carried out.

        Raises ConfigError for what the API takes for no key.
        """
        if self.idempotency_key is not None and not _KEY.fullmatch(self.idempotency_key):
            raise ConfigError("--idempotency-key: use 1 to 255 visible ASCII characters without blanks, as in a UUID")
        key = self.idempotency_key or Once().key
        again = f"repeat it with --idempotency-key {shlex.quote(key)}"
        return Once(key=key, doubt=printable(f"{_MAYBE_DONE} (`{look}`), or {again}"))


def doubt_of(method: str) -> str:
    """Return what to say of a request without a key of which nobody knows whether it was carried out."""
    return "" if method == "GET" else _MAYBE_DONE
