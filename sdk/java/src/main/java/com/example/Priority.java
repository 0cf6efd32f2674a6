package com.example;

/** The queue of a task. A word that this version does not know is kept as it is. */
public final class Priority extends OpenEnum {
    public static final Priority HIGH = new Priority("high");
    public static final Priority MEDIUM = new Priority("medium");
    public static final Priority LOW = new Priority("low");

    private Priority(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static Priority of(String value) {
        return new Priority(value);
    }
}
