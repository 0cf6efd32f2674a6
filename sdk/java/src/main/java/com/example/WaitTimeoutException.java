package com.example;

/** An execution that has not ended in time. It goes on. Its cause is the error of the last look, where that failed. */
public final class WaitTimeoutException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    private final String executionId;

    WaitTimeoutException(String executionId, String message, TaskSchedulerException cause) {
        super(message, cause);
        this.executionId = executionId;
    }

    /** The execution that was waited for. */
    public String getExecutionId() {
        return executionId;
    }
}
