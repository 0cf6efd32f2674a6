"""An endpoint that shows whoever calls it all that it was sent, in every part of an answer where that is possible."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from tests.support.raw_endpoint import Script

#: what a mirror makes of a request: the request line and the headers, and the body
Reflect = Callable[[str, bytes], bytes]


def mirror(reflect: Reflect) -> Script:
    """Return a script that answers each request with `reflect` of it, and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(headers_of(head).get("content-length", "0"))
        writer.write(reflect(head, await reader.readexactly(length)))
        await writer.drain()

    return script


def headers_of(head: str) -> dict[str, str]:
    """Return the headers by their names in lower case."""
    lines = (line.partition(": ") for line in head.strip().split("\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}


def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole answer, of JSON unless `headers` say otherwise."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def shown(head: str) -> bytes:
    """Return `head` as JSON, in the ways in which services write what they were sent."""
    target = head.split(" ")[1]
    ways = {
        "target": target,
        "headers": headers_of(head),
        "quoted": quote(head),
        "in_hex": head.encode().hex(),
        "in_base64": [base64.b64encode(b"x" * shift + head.encode()).decode() for shift in range(3)],
        "logs": [head, {"level": "ERROR", "message": quote(head, safe="")}, {"message": 1, "headers": head}],
    }
    return json.dumps(ways).encode()


def one_line(head: str, body: bytes) -> bytes:
    """Return all that was sent as one line."""
    return head.encode().replace(b"\r\n", b" ").strip() + b" " + body
