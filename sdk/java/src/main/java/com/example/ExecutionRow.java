package com.example;

import java.time.Instant;
import java.util.Optional;

/** An execution in a list. */
public final class ExecutionRow extends Model implements Execution {
    private final String executionId;
    private final String taskId;
    private final String workerId;
    private final Instant startedAt;
    private final Instant completedAt;
    private final Long durationMs;
    private final ExecutionStatus status;
    private final int retryNumber;
    private final Instant queuedAt;

    ExecutionRow(Members members) {
        executionId = members.text("execution_id");
        taskId = members.textOrNull("task_id");
        workerId = members.textOrNull("worker_id");
        startedAt = members.instantOrNull("started_at");
        completedAt = members.instantOrNull("completed_at");
        durationMs = members.countOrNull("duration_ms");
        status = ExecutionStatus.of(members.text("status"));
        retryNumber = members.integer("retry_number");
        queuedAt = members.instantOrNull("queued_at");
    }

    @Override
    public String getExecutionId() {
        return executionId;
    }

    @Override
    public Optional<String> getTaskId() {
        return Optional.ofNullable(taskId);
    }

    @Override
    public Optional<String> getWorkerId() {
        return Optional.ofNullable(workerId);
    }

    @Override
    public Optional<Instant> getStartedAt() {
        return Optional.ofNullable(startedAt);
    }

    @Override
    public Optional<Instant> getCompletedAt() {
        return Optional.ofNullable(completedAt);
    }

    @Override
    public Optional<Long> getDurationMs() {
        return Optional.ofNullable(durationMs);
    }

    @Override
    public ExecutionStatus getStatus() {
        return status;
    }

    @Override
    public int getRetryNumber() {
        return retryNumber;
    }

    @Override
    public Optional<Instant> getQueuedAt() {
        return Optional.ofNullable(queuedAt);
    }
}
