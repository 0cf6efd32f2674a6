"""The endpoints, a module for each group of them; app.py includes the `router` of each."""

from __future__ import annotations

from fastapi import APIRouter

from taskqueue.api.routes import audit, bulk, dependencies, executions, explain, runs, stats, status, tasks, workers

#: in the order of the OpenAPI document
ROUTERS: tuple[APIRouter, ...] = (
    # A path without a parameter stands before the one that would take it for an id.
    bulk.router,
    tasks.router,
    runs.router,
    executions.router,
    dependencies.router,
    status.router,
    stats.router,
    explain.router,
    workers.router,
    audit.router,
)
