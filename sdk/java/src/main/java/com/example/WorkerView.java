package com.example;

import java.time.Instant;

/** A worker. */
public final class WorkerView extends Model {
    private final String workerId;
    private final WorkerCondition status;
    private final long capacity;
    private final long currentLoad;
    private final Instant lastHeartbeat;
    private final long uptimeSeconds;

    WorkerView(Members members) {
        workerId = members.text("worker_id");
        status = WorkerCondition.of(members.text("status"));
        capacity = members.count("capacity");
        currentLoad = members.count("current_load");
        lastHeartbeat = members.instant("last_heartbeat");
        uptimeSeconds = members.count("uptime_seconds");
    }

    /** Its worker. */
    public String getWorkerId() {
        return workerId;
    }

    /** inactive: silent for seven seconds, without a good-bye. */
    public WorkerCondition getStatus() {
        return status;
    }

    /** Jobs that can run at a time. */
    public long getCapacity() {
        return capacity;
    }

    /** Jobs that run; 0 of an inactive one, of which nothing is known. */
    public long getCurrentLoad() {
        return currentLoad;
    }

    /** When it was heard of last. */
    public Instant getLastHeartbeat() {
        return lastHeartbeat;
    }

    /** At its latest heartbeat. */
    public long getUptimeSeconds() {
        return uptimeSeconds;
    }
}
