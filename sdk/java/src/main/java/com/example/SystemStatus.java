package com.example;

import java.util.List;

/** How the whole system does. */
public final class SystemStatus extends Model {
    private final Condition status;
    private final SchedulerStatus scheduler;
    private final WorkersStatus workers;
    private final QueueStatus queue;
    private final List<String> reasons;

    SystemStatus(Members members) {
        status = Condition.of(members.text("status"));
        scheduler = members.object("scheduler", SchedulerStatus::new);
        workers = members.object("workers", WorkersStatus::new);
        queue = members.object("queue", QueueStatus::new);
        reasons = members.texts("reasons");
    }

    /** unhealthy: no task runs. degraded: something is missing that should be there. */
    public Condition getStatus() {
        return status;
    }

    /** The schedulers. */
    public SchedulerStatus getScheduler() {
        return scheduler;
    }

    /** The workers. */
    public WorkersStatus getWorkers() {
        return workers;
    }

    /** The queues. */
    public QueueStatus getQueue() {
        return queue;
    }

    /** What is wrong; none where all is well. */
    public List<String> getReasons() {
        return reasons;
    }
}
