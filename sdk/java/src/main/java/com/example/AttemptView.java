package com.example;

import java.time.Instant;
import java.util.Optional;

/** One attempt of an execution that has ended. */
public final class AttemptView extends Model {
    private final int attempt;
    private final String workerId;
    private final Instant startedAt;
    private final Instant completedAt;
    private final long durationMs;
    private final OutcomeClass outcome;
    private final Integer httpStatus;
    private final String errorCode;
    private final String errorMessage;
    private final Instant nextAttemptAt;

    AttemptView(Members members) {
        attempt = members.integer("attempt");
        workerId = members.text("worker_id");
        startedAt = members.instant("started_at");
        completedAt = members.instant("completed_at");
        durationMs = members.count("duration_ms");
        outcome = OutcomeClass.of(members.text("outcome"));
        httpStatus = members.integerOrNull("http_status");
        errorCode = members.textOrNull("error_code");
        errorMessage = members.textOrNull("error_message");
        nextAttemptAt = members.instantOrNull("next_attempt_at");
    }

    /** Counted from 1. */
    public int getAttempt() {
        return attempt;
    }

    /** Its worker. */
    public String getWorkerId() {
        return workerId;
    }

    /** When it began. */
    public Instant getStartedAt() {
        return startedAt;
    }

    /** When it ended. */
    public Instant getCompletedAt() {
        return completedAt;
    }

    /** Milliseconds between them. */
    public long getDurationMs() {
        return durationMs;
    }

    /** What came of it. */
    public OutcomeClass getOutcome() {
        return outcome;
    }

    /** Of the answer; absent without one, and for an execution that succeeded at once. */
    public Optional<Integer> getHttpStatus() {
        return Optional.ofNullable(httpStatus);
    }

    /** A stable word for what went wrong. */
    public Optional<String> getErrorCode() {
        return Optional.ofNullable(errorCode);
    }

    /** What went wrong. */
    public Optional<String> getErrorMessage() {
        return Optional.ofNullable(errorMessage);
    }

    /** When the attempt after it was due; absent for the last. */
    public Optional<Instant> getNextAttemptAt() {
        return Optional.ofNullable(nextAttemptAt);
    }
}
