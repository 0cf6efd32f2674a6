package com.example;

import java.util.Optional;

/** The executions of the last seven days. */
public final class LastDays extends Model {
    private final long executions;
    private final Double successRate;

    LastDays(Members members) {
        executions = members.count("executions");
        successRate = members.numberOrNull("success_rate");
    }

    /** That ended. */
    public long getExecutions() {
        return executions;
    }

    /** absent without any that succeeded or failed. */
    public Optional<Double> getSuccessRate() {
        return Optional.ofNullable(successRate);
    }
}
