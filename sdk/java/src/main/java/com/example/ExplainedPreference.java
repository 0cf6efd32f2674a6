package com.example;

import java.util.Map;
import java.util.Optional;

/** What the user's preferences come to for the task, as they stand now. */
public final class ExplainedPreference extends Model {
    private final boolean enabled;
    private final Rule rule;
    private final Boolean ownSwitch;
    private final Map<String, Object> interval;
    private final String problem;

    ExplainedPreference(Members members) {
        enabled = members.flag("enabled");
        rule = Rule.of(members.text("rule"));
        ownSwitch = members.flagOrNull("switch");
        interval = members.jsonObjectOrNull("interval");
        problem = members.textOrNull("problem");
    }

    /** Whether the user gets the task. */
    public boolean isEnabled() {
        return enabled;
    }

    /** What decides it: the user's own switch, the task's default_enabled, or that nothing is known of the user. */
    public Rule getRule() {
        return rule;
    }

    /** The user's own switch; absent without one. */
    public Optional<Boolean> getOwnSwitch() {
        return Optional.ofNullable(ownSwitch);
    }

    /** The user's own interval; absent where the task's counts. */
    public Optional<Map<String, Object>> getInterval() {
        return Optional.ofNullable(interval);
    }

    /** What is wrong with a custom_interval that does not count. */
    public Optional<String> getProblem() {
        return Optional.ofNullable(problem);
    }
}
