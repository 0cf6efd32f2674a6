package com.example;

/** Where a task is defined. A word that this version does not know is kept as it is. */
public final class TaskSource extends OpenEnum {
    public static final TaskSource FILE = new TaskSource("file");
    public static final TaskSource API = new TaskSource("api");

    private TaskSource(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static TaskSource of(String value) {
        return new TaskSource(value);
    }
}
