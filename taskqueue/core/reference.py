"""References to secrets: `${env:NAME}` and `${file:/path}`, what they look like and where they may stand.

Definitions, messages, records and logs hold the reference; only a worker, at the call, holds what it stands for.
"""

from __future__ import annotations

import re

_REFERENCE = r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|file:/[^{}\s]+)\}"

REFERENCE = re.compile(_REFERENCE, re.ASCII)

#: an endpoint whose host is not in it: `${env:BASE}/path` begins with a URL, `https://${env:HOST}/path` with a host
#: and perhaps a port
_HOST_BY_REFERENCE = re.compile(rf"(?P<scheme>https?://)?{_REFERENCE}(?=[/?]|$)", re.ASCII | re.IGNORECASE)


def has_reference(text: str) -> bool:
    """Say whether `text` takes something from the environment or a file."""
    return REFERENCE.search(text) is not None


def is_reference(text: str) -> bool:
    """Say whether `text` is one reference and nothing else."""
    return REFERENCE.fullmatch(text) is not None


def host_by_reference(endpoint: str) -> str | None:
    """Return the beginning of `endpoint` as far as its host, where a reference stands for that; None where none does.

    It names the host and gives nothing away: `https://${env:HOST}`, or `${env:BASE}` where the scheme is in there too.
    """
    if "${" not in endpoint:
        return None  # as most: each call asks
    match = _HOST_BY_REFERENCE.match(endpoint)
    return None if match is None else match[0]


def without_references(endpoint: str) -> str:
    """Return `endpoint` with a plain word in place of each reference, so that all the rest of it can be judged."""
    match = _HOST_BY_REFERENCE.match(endpoint)
    if match is not None and not match["scheme"]:
        endpoint = "https://" + endpoint
    return REFERENCE.sub("reference", endpoint)
