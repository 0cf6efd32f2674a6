package com.example;

import java.time.Instant;
import java.util.Optional;

/** The occurrence in question. */
public final class ExplainedOccurrence extends Model {
    private final Instant scheduledAt;
    private final String occurrenceId;
    private final OccurrenceState state;
    private final Instant startsAt;
    private final Long windowMs;
    private final Integer users;
    private final Integer released;
    private final ExplainedSlot slot;

    ExplainedOccurrence(Members members) {
        scheduledAt = members.instant("scheduled_at");
        occurrenceId = members.textOrNull("occurrence_id");
        state = OccurrenceState.of(members.text("state"));
        startsAt = members.instantOrNull("starts_at");
        windowMs = members.countOrNull("window_ms");
        users = members.integerOrNull("users");
        released = members.integerOrNull("released");
        slot = members.objectOrNull("slot", ExplainedSlot::new);
    }

    /**
     * Its instant, by the interval that counts for the user; of a task made through the API, when its run was queued
     * or was due.
     */
    public Instant getScheduledAt() {
        return scheduledAt;
    }

    /** absent where it was not planned, and for a task made through the API. */
    public Optional<String> getOccurrenceId() {
        return Optional.ofNullable(occurrenceId);
    }

    /** How far it has got. */
    public OccurrenceState getState() {
        return state;
    }

    /** When its window begins: its instant, or later where it was planned late. */
    public Optional<Instant> getStartsAt() {
        return Optional.ofNullable(startsAt);
    }

    /** Milliseconds that its window is long. */
    public Optional<Long> getWindowMs() {
        return Optional.ofNullable(windowMs);
    }

    /** How many were to be called when it was planned. */
    public Optional<Integer> getUsers() {
        return Optional.ofNullable(users);
    }

    /** How many of their jobs have gone to RabbitMQ so far. */
    public Optional<Integer> getReleased() {
        return Optional.ofNullable(released);
    }

    /** When in its window it is the user's turn. */
    public Optional<ExplainedSlot> getSlot() {
        return Optional.ofNullable(slot);
    }
}
