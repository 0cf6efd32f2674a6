package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** An execution with its result and its attempts. */
public final class ExecutionDetails extends Model implements Execution {
    private final String executionId;
    private final String taskId;
    private final String workerId;
    private final Instant startedAt;
    private final Instant completedAt;
    private final Long durationMs;
    private final ExecutionStatus status;
    private final Object result;
    private final int retryNumber;
    private final boolean isRetry;
    private final Instant queuedAt;
    private final ErrorView error;
    private final String reason;
    private final Instant nextAttemptAt;
    private final List<AttemptView> attempts;

    ExecutionDetails(Members members) {
        executionId = members.text("execution_id");
        taskId = members.textOrNull("task_id");
        workerId = members.textOrNull("worker_id");
        startedAt = members.instantOrNull("started_at");
        completedAt = members.instantOrNull("completed_at");
        durationMs = members.countOrNull("duration_ms");
        status = ExecutionStatus.of(members.text("status"));
        result = members.json("result");
        retryNumber = members.integer("retry_number");
        isRetry = members.flag("is_retry");
        queuedAt = members.instantOrNull("queued_at");
        error = members.objectOrNull("error", ErrorView::new);
        reason = members.textOrNull("reason");
        nextAttemptAt = members.instantOrNull("next_attempt_at");
        attempts = members.list("attempts", AttemptView::new);
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

    /**
     * The answer, where it is JSON; else an object with its text as body, or with encoding: base64. truncated tells of
     * one that was longer than execution.max_response_bytes. absent where there is none.
     */
    public Object getResult() {
        return result;
    }

    /** Whether it stays as it is from now on; its status may be a word of a newer server. */
    boolean hasEnded() {
        return status.isEnd() || completedAt != null;
    }

    @Override
    public int getRetryNumber() {
        return retryNumber;
    }

    /** Whether the latest attempt is a retry. */
    public boolean isRetry() {
        return isRetry;
    }

    @Override
    public Optional<Instant> getQueuedAt() {
        return Optional.ofNullable(queuedAt);
    }

    /** Of the latest attempt that ended; absent where that succeeded. */
    public Optional<ErrorView> getError() {
        return Optional.ofNullable(error);
    }

    /** Why it ended without a call. */
    public Optional<String> getReason() {
        return Optional.ofNullable(reason);
    }

    /** When the next attempt is due, while it is retrying. */
    public Optional<Instant> getNextAttemptAt() {
        return Optional.ofNullable(nextAttemptAt);
    }

    /** The attempts that ended, the first one first; the latest fifty. */
    public List<AttemptView> getAttempts() {
        return attempts;
    }
}
