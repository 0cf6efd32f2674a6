package com.example;

import java.time.Instant;
import java.util.Optional;

/** A task that was created. */
public final class TaskCreated extends Model implements Task {
    private final String taskId;
    private final String taskName;
    private final TaskStatus status;
    private final Instant nextExecutionTime;
    private final Instant createdAt;
    private final String etag;

    TaskCreated(Members members) {
        taskId = members.text("task_id");
        taskName = members.text("task_name");
        status = TaskStatus.of(members.text("status"));
        nextExecutionTime = members.instantOrNull("next_execution_time");
        createdAt = members.instant("created_at");
        etag = members.etag();
    }

    @Override
    public String getTaskId() {
        return taskId;
    }

    @Override
    public String getTaskName() {
        return taskName;
    }

    @Override
    public TaskStatus getStatus() {
        return status;
    }

    @Override
    public Optional<Instant> getNextExecutionTime() {
        return Optional.ofNullable(nextExecutionTime);
    }

    @Override
    public Instant getCreatedAt() {
        return createdAt;
    }

    /** Its version, for {@link RequestOption#ifMatch}; empty where a proxy took it away. */
    public Optional<String> getEtag() {
        return Optional.ofNullable(etag);
    }
}
