package com.example;

/** What an attempt came to. A word that this version does not know is kept as it is. */
public final class OutcomeClass extends OpenEnum {
    public static final OutcomeClass SUCCESS = new OutcomeClass("success");
    public static final OutcomeClass RETRYABLE = new OutcomeClass("retryable");
    public static final OutcomeClass PERMANENT = new OutcomeClass("permanent");
    public static final OutcomeClass CANCELLED = new OutcomeClass("cancelled");

    private OutcomeClass(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static OutcomeClass of(String value) {
        return new OutcomeClass(value);
    }
}
