"""Signatures by Standard Webhooks 1.0.0, https://www.standardwebhooks.com (symmetric, `v1`).

The signature is HMAC-SHA256 over `id.timestamp.body`, in base64; with two secrets, while one replaces the other, the
header carries one signature for each.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from functools import lru_cache

from taskqueue.errors import InvalidValueError

_PREFIX = "whsec_"

#: bytes of a key, by the specification
_SHORTEST_KEY, _LONGEST_KEY = 24, 64


def signature_headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a signed request; `timestamp` is unix seconds.

    `keys` are those of `signing_key`, the newest first. `message_id` has no dot, since a dot ends it in what is signed.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


@lru_cache(maxsize=256)
def signing_key(secret: str, reference: str) -> bytes:
    """Return the key in `secret`, which is `whsec_` and the base64 of 24 to 64 bytes.

    Raises InvalidValueError, which names the `reference` that it came from and never the secret.
    """
    encoded = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        # Receivers take a key without its padding as well.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_PREFIX) or not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise InvalidValueError(
            f"signing secret: what {reference} stands for is none; "
            f"make it {_PREFIX} and the base64 of {_SHORTEST_KEY} to {_LONGEST_KEY} random bytes"
        )
    return key
