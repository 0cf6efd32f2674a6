"""The reference for people at /docs and for programs at /openapi.json, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

_PAGE = Path(__file__).with_name("docs.html")


def docs_routes(app: FastAPI) -> list[Route]:
    """Return the routes of the reference of `app`."""
    page = _PAGE.read_text(encoding="utf-8")
    policy = _policy(page)

    async def docs(_request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    async def openapi(_request: Request) -> Response:
        return JSONResponse(app.openapi(), headers={"Cache-Control": "no-cache"})

    return [Route("/docs", docs), Route("/openapi.json", openapi)]


def _policy(page: str) -> str:
    """Return the Content-Security-Policy under which the page's own script and style run, and nothing else does."""
    sources = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL) for kind in ("script", "style")}
    rules = [
        f"{kind}-src " + " ".join(f"'sha256-{_digest(text)}'" for text in texts) for kind, texts in sources.items()
    ]
    return "; ".join(["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", *rules])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
