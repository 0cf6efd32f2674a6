package com.example;

/** What decides whether a user gets a task. A word that this version does not know is kept as it is. */
public final class Rule extends OpenEnum {
    public static final Rule OWN_SWITCH = new Rule("own_switch");
    public static final Rule DEFAULT_ENABLED = new Rule("default_enabled");
    public static final Rule NO_PREFERENCES = new Rule("no_preferences");

    private Rule(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static Rule of(String value) {
        return new Rule(value);
    }
}
