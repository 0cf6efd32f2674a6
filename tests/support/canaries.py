"""Secrets that are made to be found: where one comes up that it must not, a test says in which form and where."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret of one place. `value` is what stands there; whoever finds `mark` has found it."""

    place: str
    mark: str = field(default_factory=lambda: "cnry" + secrets.token_hex(12))

    @property
    def value(self) -> str:
        """The secret, with characters that URLs, JSON and HTML write in ways of their own."""
        return f"s/{self.mark}+&=%"

    def forms(self) -> tuple[bytes, ...]:
        """Return the mark as it is, in hexadecimal, and as it stands in base64, wherever that begins."""
        mark = self.mark.encode()
        in_base64 = [base64.b64encode(b"\0" * shift + mark)[4:28] for shift in range(3)]
        return (mark, mark.hex().encode(), *in_base64)


def found(canaries: Iterable[Canary], places: Mapping[str, bytes]) -> list[str]:
    """Return a line for each canary in each of `places`, with what stands around it."""
    return [
        f"{canary.place} in {name}: …{text[max(text.lower().find(form) - 80, 0) :][:200]!r}"
        for canary in canaries
        for form in canary.forms()
        for name, text in places.items()
        if form in text or form in text.lower()
    ]


async def everything_in(redis: Redis) -> dict[str, bytes]:
    """Return all keys of the database with all that they hold, whatever their type."""
    contents: dict[str, bytes] = {}
    async for key in redis.scan_iter(count=1000):
        match (await redis.type(key)).decode():
            case "string":
                value: object = await redis.get(key)
            case "hash":
                value = await redis.hgetall(key)
            case "list":
                value = await redis.lrange(key, 0, -1)
            case "set":
                value = await redis.smembers(key)
            case "stream":
                entries = await redis.xrange(key)
                value = [part for _, fields in entries for pair in fields.items() for part in pair]
            case _:
                value = await redis.zrange(key, 0, -1)
        contents[f"Redis {key.decode()}"] = key + b" " + _flat(value)
    return contents


def answers_in(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the answers in the execution records among `contents`, as whoever reads them would unpack them."""
    answers: dict[str, bytes] = {}
    for name, text in contents.items():
        if not name.startswith("Redis taskqueue:execution:") or name.endswith((":attempts", ":logs")):
            continue
        body = base64.b64decode(json.loads(text.partition(b" ")[2]).get("response", ""))
        answers[f"answer in {name}"] = _unpacked(body)
    return answers


def _unpacked(body: bytes) -> bytes:
    if body.startswith(_GZIP):
        return gzip.decompress(body)
    return body.replace(b"\0", b"")


def _flat(value: object) -> bytes:
    match value:
        case bytes():
            return value
        case dict():
            return b"\n".join(part for item in value.items() for part in item)
        case _:
            return b"\n".join(value)
