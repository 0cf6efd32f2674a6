"""The worker's internal endpoints, as in the spec: /health and /stats."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def worker_routes(stats: Callable[[], Mapping[str, object]], health: Callable[[], Mapping[str, object]]) -> list[Route]:
    """Return the routes for the ops server; `stats` and `health` give the bodies of /stats and /health."""

    async def get_health(_request: Request) -> Response:
        body = health()
        return JSONResponse(body, status_code=200 if body["status"] == "healthy" else 503)

    async def get_stats(_request: Request) -> Response:
        return JSONResponse(stats())

    return [Route("/health", get_health), Route("/stats", get_stats)]
