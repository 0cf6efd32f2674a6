package com.example;

import java.time.Instant;
import java.util.Optional;

/** A task that was resumed. */
public final class TaskResumed extends Model {
    private final String taskId;
    private final TaskStatus status;
    private final Instant nextExecutionTime;
    private final Instant resumedAt;

    TaskResumed(Members members) {
        taskId = members.text("task_id");
        status = TaskStatus.of(members.text("status"));
        nextExecutionTime = members.instantOrNull("next_execution_time");
        resumedAt = members.instant("resumed_at");
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** Where it stands. */
    public TaskStatus getStatus() {
        return status;
    }

    /** When it runs next; empty where it does not. */
    public Optional<Instant> getNextExecutionTime() {
        return Optional.ofNullable(nextExecutionTime);
    }

    /** When it was resumed. */
    public Instant getResumedAt() {
        return resumedAt;
    }
}
