package com.example;

import java.util.Optional;

/** How the executions of a task went. */
public final class TaskStatistics extends Model {
    private final String taskId;
    private final long totalExecutions;
    private final long successfulExecutions;
    private final long failedExecutions;
    private final Double successRate;
    private final Long averageDurationMs;
    private final Long p50DurationMs;
    private final Long p95DurationMs;
    private final Long p99DurationMs;
    private final LastDays last7Days;

    TaskStatistics(Members members) {
        taskId = members.text("task_id");
        totalExecutions = members.count("total_executions");
        successfulExecutions = members.count("successful_executions");
        failedExecutions = members.count("failed_executions");
        successRate = members.numberOrNull("success_rate");
        averageDurationMs = members.countOrNull("average_duration_ms");
        p50DurationMs = members.countOrNull("p50_duration_ms");
        p95DurationMs = members.countOrNull("p95_duration_ms");
        p99DurationMs = members.countOrNull("p99_duration_ms");
        last7Days = members.object("last_7_days", LastDays::new);
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** That ended; cancelled and skipped ones as well. */
    public long getTotalExecutions() {
        return totalExecutions;
    }

    /** That succeeded. */
    public long getSuccessfulExecutions() {
        return successfulExecutions;
    }

    /** That failed for good. */
    public long getFailedExecutions() {
        return failedExecutions;
    }

    /** Successes among those that succeeded or failed; absent without any. */
    public Optional<Double> getSuccessRate() {
        return Optional.ofNullable(successRate);
    }

    /** absent without a call, as are the quantiles. */
    public Optional<Long> getAverageDurationMs() {
        return Optional.ofNullable(averageDurationMs);
    }

    /** Half of the calls took this long at most. */
    public Optional<Long> getP50DurationMs() {
        return Optional.ofNullable(p50DurationMs);
    }

    /** 95 % of the calls took this long at most. */
    public Optional<Long> getP95DurationMs() {
        return Optional.ofNullable(p95DurationMs);
    }

    /** 99 % of the calls took this long at most. */
    public Optional<Long> getP99DurationMs() {
        return Optional.ofNullable(p99DurationMs);
    }

    /** Of the last seven days alone. */
    public LastDays getLast7Days() {
        return last7Days;
    }
}
