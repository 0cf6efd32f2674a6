package com.example;

import java.time.Instant;
import java.util.Optional;

/** One run of a task, with all its attempts; {@link ExecutionDetails} tells more. */
public sealed interface Execution permits ExecutionRow, ExecutionDetails, TaskTriggered {
    /** Its id. */
    String getExecutionId();

    /** Its task's id; empty in the first attempt of a job that was planned for a user. */
    Optional<String> getTaskId();

    /** The worker of the latest attempt; empty before the first one. */
    Optional<String> getWorkerId();

    /** Start of the first attempt; empty before that. */
    Optional<Instant> getStartedAt();

    /** When it ended; empty before that. */
    Optional<Instant> getCompletedAt();

    /** Milliseconds from start to end, with all waiting between attempts; empty before its end. */
    Optional<Long> getDurationMs();

    /** Where it stands. */
    ExecutionStatus getStatus();

    /** Of the latest attempt: 0 for the first try, 1 for the first retry. */
    int getRetryNumber();

    /** When it was queued, for a task made through the API. */
    Optional<Instant> getQueuedAt();
}
