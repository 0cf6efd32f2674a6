package com.example;

import java.util.Set;

/** Where an execution stands. A word that this version does not know is kept as it is. */
public final class ExecutionStatus extends OpenEnum {
    public static final ExecutionStatus PENDING = new ExecutionStatus("pending");
    public static final ExecutionStatus RUNNING = new ExecutionStatus("running");
    public static final ExecutionStatus SUCCESS = new ExecutionStatus("success");
    public static final ExecutionStatus FAILED = new ExecutionStatus("failed");
    public static final ExecutionStatus RETRYING = new ExecutionStatus("retrying");
    public static final ExecutionStatus CANCELLED = new ExecutionStatus("cancelled");
    public static final ExecutionStatus SKIPPED = new ExecutionStatus("skipped");
    /** What a trigger answers; the execution itself is {@link #PENDING} then. */
    public static final ExecutionStatus QUEUED = new ExecutionStatus("queued");

    private static final Set<ExecutionStatus> ENDS = Set.of(SUCCESS, FAILED, CANCELLED, SKIPPED);

    private ExecutionStatus(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static ExecutionStatus of(String value) {
        return new ExecutionStatus(value);
    }

    /** Whether an execution stays as it is from then on. */
    public boolean isEnd() {
        return ENDS.contains(this);
    }
}
