"""The workers."""

from __future__ import annotations

from taskqueue.api.auth import Reader
from taskqueue.api.route import api_router
from taskqueue.api.schemas_monitoring import WorkerCondition, WorkerList, WorkerView
from taskqueue.api.services import ServicesOf
from taskqueue.store.fleet import Fleet, WorkerSeen

router = api_router("monitoring")


@router.get("/workers", summary="Get the status of the workers")
async def list_workers(_caller: Reader, services: ServicesOf) -> WorkerList:
    """Get all workers of the last five minutes; one that crashes is inactive within ten seconds."""
    workers = await Fleet(services.store).workers()
    return WorkerList(workers=[_view(worker) for worker in workers], total=len(workers))


def _view(worker: WorkerSeen) -> WorkerView:
    return WorkerView(
        worker_id=worker.worker_id,
        status=WorkerCondition.ACTIVE if worker.active else WorkerCondition.INACTIVE,
        capacity=worker.capacity,
        current_load=worker.current_load,
        last_heartbeat=worker.last_heartbeat,
        uptime_seconds=int(worker.uptime.total_seconds()),
    )
