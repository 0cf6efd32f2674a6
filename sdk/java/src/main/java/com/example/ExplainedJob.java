package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** The user's job in the occurrence. */
public final class ExplainedJob extends Model {
    private final String jobId;
    private final ExecutionStatus status;
    private final Place place;
    private final String waitsFor;
    private final String workerId;
    private final Integer attempt;
    private final Instant nextAttemptAt;
    private final Instant startedAt;
    private final Instant completedAt;
    private final Long lateMs;
    private final String errorCode;
    private final String errorMessage;
    private final boolean cancelled;
    private final List<ExplainedWait> waits;
    private final List<AttemptView> attempts;
    private final List<ExplainedLimit> limits;

    ExplainedJob(Members members) {
        jobId = members.text("job_id");
        status = members.wordOrNull("status", ExecutionStatus::of);
        place = Place.of(members.text("place"));
        waitsFor = members.textOrNull("waits_for");
        workerId = members.textOrNull("worker_id");
        attempt = members.integerOrNull("attempt");
        nextAttemptAt = members.instantOrNull("next_attempt_at");
        startedAt = members.instantOrNull("started_at");
        completedAt = members.instantOrNull("completed_at");
        lateMs = members.countOrNull("late_ms");
        errorCode = members.textOrNull("error_code");
        errorMessage = members.textOrNull("error_message");
        cancelled = members.flag("cancelled");
        waits = members.list("waits", ExplainedWait::new);
        attempts = members.list("attempts", AttemptView::new);
        limits = members.list("limits", ExplainedLimit::new);
    }

    /** Also the id of its execution. */
    public String getJobId() {
        return jobId;
    }

    /** absent where nothing is known of it yet, or any more. */
    public Optional<ExecutionStatus> getStatus() {
        return Optional.ofNullable(status);
    }

    /** Where it is now. */
    public Place getPlace() {
        return place;
    }

    /** The name of the limit in whose list it is. */
    public Optional<String> getWaitsFor() {
        return Optional.ofNullable(waitsFor);
    }

    /** The worker that has it, or had it last. */
    public Optional<String> getWorkerId() {
        return Optional.ofNullable(workerId);
    }

    /** The attempt that runs, is to come, or was the last one. */
    public Optional<Integer> getAttempt() {
        return Optional.ofNullable(attempt);
    }

    /** When it is to be tried, where that is known. */
    public Optional<Instant> getNextAttemptAt() {
        return Optional.ofNullable(nextAttemptAt);
    }

    /** Start of its first attempt. */
    public Optional<Instant> getStartedAt() {
        return Optional.ofNullable(startedAt);
    }

    /** When it ended. */
    public Optional<Instant> getCompletedAt() {
        return Optional.ofNullable(completedAt);
    }

    /**
     * How much later than planned its first attempt began; absent before that, and where the plan is not known
     * exactly.
     */
    public Optional<Long> getLateMs() {
        return Optional.ofNullable(lateMs);
    }

    /** A stable word for what went wrong. */
    public Optional<String> getErrorCode() {
        return Optional.ofNullable(errorCode);
    }

    /** What went wrong. */
    public Optional<String> getErrorMessage() {
        return Optional.ofNullable(errorMessage);
    }

    /** Somebody has cancelled it. */
    public boolean isCancelled() {
        return cancelled;
    }

    /**
     * The times in which it was put aside, the latest fifty; what a worker slept through itself, a second at most, is
     * not among them.
     */
    public List<ExplainedWait> getWaits() {
        return waits;
    }

    /** Those that ended, the latest fifty. */
    public List<AttemptView> getAttempts() {
        return attempts;
    }

    /** What it still has to pass; none once it has ended. */
    public List<ExplainedLimit> getLimits() {
        return limits;
    }
}
