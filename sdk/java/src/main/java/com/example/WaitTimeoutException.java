package com.example;

/** An execution that has not ended in time. It goes on. */
public final class WaitTimeoutException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    private final String executionId;

    WaitTimeoutException(String executionId, String message) {
        super(message);
        this.executionId = executionId;
    }

    /** The execution that was waited for. */
    public String getExecutionId() {
        return executionId;
    }
}
