package com.example;

/** How the task that another one depends on has to end. A word that this version does not know is kept as it is. */
public final class DependencyType extends OpenEnum {
    public static final DependencyType SUCCESS = new DependencyType("success");
    public static final DependencyType COMPLETION = new DependencyType("completion");
    public static final DependencyType ANY = new DependencyType("any");

    private DependencyType(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static DependencyType of(String value) {
        return new DependencyType(value);
    }
}
