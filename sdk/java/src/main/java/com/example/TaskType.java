package com.example;

/** What says when a task runs. A word that this version does not know is kept as it is. */
public final class TaskType extends OpenEnum {
    public static final TaskType CRON = new TaskType("cron");
    public static final TaskType ONE_TIME = new TaskType("one_time");
    public static final TaskType INTERVAL = new TaskType("interval");

    private TaskType(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static TaskType of(String value) {
        return new TaskType(value);
    }
}
