package com.example;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** What is in force for the task now. */
public final class ExplainedTask extends Model {
    private final TaskSource source;
    private final boolean enabled;
    private final boolean paused;
    private final boolean removed;
    private final String revision;
    private final Map<String, Object> interval;
    private final Instant startAt;
    private final Instant endAt;
    private final String overlap;
    private final String catchUp;
    private final int maxAgeSeconds;

    ExplainedTask(Members members) {
        source = TaskSource.of(members.text("source"));
        enabled = members.flag("enabled");
        paused = members.flag("paused");
        removed = members.flag("removed");
        revision = members.textOrNull("revision");
        interval = members.jsonObject("interval");
        startAt = members.instantOrNull("start_at");
        endAt = members.instantOrNull("end_at");
        overlap = members.text("overlap");
        catchUp = members.text("catch_up");
        maxAgeSeconds = members.integer("max_age_seconds");
    }

    /** Where it is defined. */
    public TaskSource getSource() {
        return source;
    }

    /** Whether it is let run; false as well where it is paused or removed. */
    public boolean isEnabled() {
        return enabled;
    }

    /** Switched off through the API. */
    public boolean isPaused() {
        return paused;
    }

    /** Gone from tasks.yaml. */
    public boolean isRemoved() {
        return removed;
    }

    /** Of the definitions of tasks.yaml that are in force, or of the task made through the API. */
    public Optional<String> getRevision() {
        return Optional.ofNullable(revision);
    }

    /** The interval as it would stand in tasks.yaml. */
    public Map<String, Object> getInterval() {
        return interval;
    }

    /** It does not run before this. */
    public Optional<Instant> getStartAt() {
        return Optional.ofNullable(startAt);
    }

    /** It does not run after this. */
    public Optional<Instant> getEndAt() {
        return Optional.ofNullable(endAt);
    }

    /** What an occurrence does while the one before it runs. */
    public String getOverlap() {
        return overlap;
    }

    /** What becomes of occurrences that were missed. */
    public String getCatchUp() {
        return catchUp;
    }

    /** A job that is older is not called any more. */
    public int getMaxAgeSeconds() {
        return maxAgeSeconds;
    }
}
