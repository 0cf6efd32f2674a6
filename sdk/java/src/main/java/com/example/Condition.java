package com.example;

/** How the system does. A word that this version does not know is kept as it is. */
public final class Condition extends OpenEnum {
    public static final Condition HEALTHY = new Condition("healthy");
    public static final Condition DEGRADED = new Condition("degraded");
    public static final Condition UNHEALTHY = new Condition("unhealthy");

    private Condition(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static Condition of(String value) {
        return new Condition(value);
    }
}
