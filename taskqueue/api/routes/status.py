"""The system as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from taskqueue.api.auth import Reader
from taskqueue.api.route import api_router
from taskqueue.api.schemas_monitoring import Condition, QueueStatus, SchedulerStatus, SystemStatus, WorkersStatus
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import task_store
from taskqueue.core.api_task import TaskStatus
from taskqueue.core.task import Priority
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.fleet import Fleet, SchedulersSeen, WorkerSeen

router = api_router("monitoring")


@router.get("/status", summary="Get the status of the system")
async def get_status(_caller: Reader, services: ServicesOf) -> SystemStatus:
    """Get who lives and what waits, as of some seconds ago at most: a crash shows within ten."""
    fleet = Fleet(services.store)
    schedulers, workers, depths = await fleet.schedulers(), await fleet.workers(), await services.depths.read()
    waiting = await _waiting(services)
    problems = list(_problems(schedulers, workers, depths))
    return SystemStatus(
        status=max((condition for condition, _ in problems), key=list(Condition).index, default=Condition.HEALTHY),
        scheduler=SchedulerStatus(
            leader=schedulers.leader,
            followers=list(schedulers.followers),
            tasks_scheduled=await _scheduled(services),
            tasks_pending=waiting + sum(depths.values()) if len(depths) == len(Priority) else None,
        ),
        workers=_workers(workers),
        queue=QueueStatus(
            high_priority=depths.get(Priority.HIGH),
            medium_priority=depths.get(Priority.NORMAL),
            low_priority=depths.get(Priority.LOW),
        ),
        reasons=[reason for _, reason in problems],
    )


async def _scheduled(services: Services) -> int:
    counts = await task_store(services).counts()
    return counts[TaskStatus.SCHEDULED] + counts[TaskStatus.WAITING]


async def _waiting(services: Services) -> int:
    delayed = DelayedStore(services.store, services.scripts)
    return await delayed.count() + sum((await delayed.waiting_counts()).values())


def _workers(workers: Sequence[WorkerSeen]) -> WorkersStatus:
    active = [worker for worker in workers if worker.active]
    return WorkersStatus(
        total=len(workers),
        active=len(active),
        inactive=len(workers) - len(active),
        total_capacity=sum(worker.capacity for worker in active),
        current_load=sum(worker.current_load for worker in active),
    )


def _problems(
    schedulers: SchedulersSeen, workers: Sequence[WorkerSeen], depths: Mapping[Priority, int]
) -> Iterator[tuple[Condition, str]]:
    """Yield what is wrong, and how much that matters. Workers that are gone, where others work, are no trouble."""
    if schedulers.leader is None and schedulers.followers:
        yield Condition.DEGRADED, "no scheduler leads; one of the followers takes over within seconds"
    elif schedulers.leader is None:
        yield Condition.UNHEALTHY, "no scheduler is alive; start one"
    if not any(worker.active for worker in workers):
        yield Condition.UNHEALTHY, "no worker is active; start one"
    if not depths:
        yield Condition.DEGRADED, "the API cannot reach RabbitMQ; queue depths are not known"
    elif missing := [priority.name.lower() for priority in Priority if priority not in depths]:
        queues = ", ".join(missing)
        yield Condition.DEGRADED, f"queues that are missing, or hidden from the API's user: {queues}"
