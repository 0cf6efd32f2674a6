package com.example;

/** Where a task stands. A word that this version does not know is kept as it is. */
public final class TaskStatus extends OpenEnum {
    public static final TaskStatus SCHEDULED = new TaskStatus("scheduled");
    public static final TaskStatus PAUSED = new TaskStatus("paused");
    public static final TaskStatus WAITING = new TaskStatus("waiting");
    public static final TaskStatus COMPLETED = new TaskStatus("completed");
    public static final TaskStatus FAILED = new TaskStatus("failed");

    private TaskStatus(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static TaskStatus of(String value) {
        return new TaskStatus(value);
    }
}
