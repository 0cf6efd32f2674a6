package com.example;

import java.time.Instant;
import java.util.Optional;

/** A task that was paused. */
public final class TaskPaused extends Model {
    private final String taskId;
    private final TaskStatus status;
    private final Instant pausedAt;

    TaskPaused(Members members) {
        taskId = members.text("task_id");
        status = TaskStatus.of(members.text("status"));
        pausedAt = members.instantOrNull("paused_at");
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** Where it stands. */
    public TaskStatus getStatus() {
        return status;
    }

    /** When it was paused. */
    public Optional<Instant> getPausedAt() {
        return Optional.ofNullable(pausedAt);
    }
}
