"""The application: routes, errors and what surrounds both."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from taskqueue import __version__
from taskqueue.api.audit import AuditTrail
from taskqueue.api.context import REQUEST_ID, RequestContext
from taskqueue.api.docs import docs_routes
from taskqueue.api.document import DESCRIPTION, TAGS, complete_openapi
from taskqueue.api.errors import HANDLERS
from taskqueue.api.routes import ROUTERS
from taskqueue.api.services import Services
from taskqueue.store.audit import AuditLog


def create_app(services: Services, routes: Sequence[BaseRoute] = (), routers: Sequence[APIRouter] = ROUTERS) -> FastAPI:
    """Return the application: the endpoints of `routers`, and `routes`, those of the process, such as /health."""
    app = FastAPI(
        title="taskqueue",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict(HANDLERS),
        generate_unique_id_function=_operation_id,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    app.openapi = lambda: complete_openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    app.state.services = services
    for router in routers:
        app.include_router(router)
    app.router.routes.extend([*routes, *(docs_routes(app) if services.settings.api.docs else ())])
    app.state.routes = [*app.routes, *(route for router in routers for route in router.routes)]
    _surround(app, services)
    return app


def _surround(app: FastAPI, services: Services) -> None:
    # What is added last is outermost.
    if origins := services.settings.api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", REQUEST_ID],
            expose_headers=["ETag", "Location", "Retry-After", REQUEST_ID, "RateLimit-Remaining", "RateLimit-Reset"],
        )
    app.add_middleware(AuditTrail, audit_log=AuditLog(services.store), emit=services.emit)
    app.add_middleware(RequestContext, emit=services.emit)


def _operation_id(route: APIRoute) -> str:
    return route.name
