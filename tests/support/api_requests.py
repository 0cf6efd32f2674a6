"""Requests to the REST API, each with the status that its answer has to have."""

from __future__ import annotations

from typing import Any, cast

import httpx

Body = dict[str, Any]


class ApiRequests:
    """Sends what is below /api/v1 through `http`."""

    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, status: int, **request: Any) -> httpx.Response:
        """Send a request and return the answer, which has to have this status."""
        response = await self.http.request(method, f"/api/v1{path}", **request)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:2000]}"
        return response

    async def post(self, path: str, body: object = None, status: int = 200, **headers: str) -> Body:
        """POST it; `idempotency_key="k"` sends the header Idempotency-Key."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = {} if body is None else {"json": body}
        return cast(Body, (await self.ask("POST", path, status, headers=sent, **request)).json())

    async def patch(self, path: str, body: object, status: int = 200) -> Body:
        """PATCH it."""
        return cast(Body, (await self.ask("PATCH", path, status, json=body)).json())
