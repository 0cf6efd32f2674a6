package com.example;

/** Whether a worker is heard of. A word that this version does not know is kept as it is. */
public final class WorkerCondition extends OpenEnum {
    public static final WorkerCondition ACTIVE = new WorkerCondition("active");
    public static final WorkerCondition INACTIVE = new WorkerCondition("inactive");

    private WorkerCondition(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static WorkerCondition of(String value) {
        return new WorkerCondition(value);
    }
}
