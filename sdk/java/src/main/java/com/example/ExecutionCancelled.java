package com.example;

import java.time.Instant;
import java.util.Optional;

/** What became of an execution that was to be cancelled. */
public final class ExecutionCancelled extends Model {
    private final String executionId;
    private final ExecutionStatus status;
    private final Instant cancelledAt;

    ExecutionCancelled(Members members) {
        executionId = members.text("execution_id");
        status = ExecutionStatus.of(members.text("status"));
        cancelledAt = members.instantOrNull("cancelled_at");
    }

    /** Its execution's id. */
    public String getExecutionId() {
        return executionId;
    }

    /** cancelled; or running, where its worker has not cut the call yet. */
    public ExecutionStatus getStatus() {
        return status;
    }

    /** When it ended; absent while its call runs. */
    public Optional<Instant> getCancelledAt() {
        return Optional.ofNullable(cancelledAt);
    }
}
