package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** An execution that was queued at once; where it stands later, {@link TaskSchedulerClient#getExecution} tells. */
public final class TaskTriggered extends Model implements Execution {
    private final String taskId;
    private final String executionId;
    private final ExecutionStatus status;
    private final Instant queuedAt;
    private final List<String> executionIds;

    TaskTriggered(Members members) {
        taskId = members.text("task_id");
        executionId = members.text("execution_id");
        status = ExecutionStatus.of(members.text("status"));
        queuedAt = members.instant("queued_at");
        executionIds = members.textsIfThere("execution_ids");
    }

    /** Its id; of a task type of tasks.yaml, that of the first user. */
    @Override
    public String getExecutionId() {
        return executionId;
    }

    @Override
    public Optional<String> getTaskId() {
        return Optional.of(taskId);
    }

    /** {@link ExecutionStatus#QUEUED}; the execution itself is pending until a worker starts it. */
    @Override
    public ExecutionStatus getStatus() {
        return status;
    }

    @Override
    public Optional<Instant> getQueuedAt() {
        return Optional.of(queuedAt);
    }

    /** Of a task type of tasks.yaml: those of all users, in the order of the request; else none. */
    public List<String> getExecutionIds() {
        return executionIds;
    }

    /** Empty: no worker has it yet. */
    @Override
    public Optional<String> getWorkerId() {
        return Optional.empty();
    }

    /** Empty: it has not begun. */
    @Override
    public Optional<Instant> getStartedAt() {
        return Optional.empty();
    }

    /** Empty: it has not ended. */
    @Override
    public Optional<Instant> getCompletedAt() {
        return Optional.empty();
    }

    /** Empty: it has not ended. */
    @Override
    public Optional<Long> getDurationMs() {
        return Optional.empty();
    }

    /** 0: nobody has tried it yet. */
    @Override
    public int getRetryNumber() {
        return 0;
    }
}
