package com.example;

import java.util.List;

/** The log of an execution. */
public final class ExecutionLog extends Model {
    private final String executionId;
    private final List<LogLineView> logs;

    ExecutionLog(Members members) {
        executionId = members.text("execution_id");
        logs = members.list("logs", LogLineView::new);
    }

    /** Its execution's id. */
    public String getExecutionId() {
        return executionId;
    }

    /** Its lines, in the order of their time. */
    public List<LogLineView> getLogs() {
        return logs;
    }
}
