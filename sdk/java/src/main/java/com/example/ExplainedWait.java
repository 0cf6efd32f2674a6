package com.example;

import java.time.Instant;
import java.util.Optional;

/** A time in which the job was put aside. */
public final class ExplainedWait extends Model {
    private final WaitReason reason;
    private final String limit;
    private final int attempt;
    private final Instant since;
    private final Instant until;
    private final long durationMs;

    ExplainedWait(Members members) {
        reason = WaitReason.of(members.text("reason"));
        limit = members.textOrNull("limit");
        attempt = members.integer("attempt");
        since = members.instant("since");
        until = members.instantOrNull("until");
        durationMs = members.count("duration_ms");
    }

    /** Why it was put aside. */
    public WaitReason getReason() {
        return reason;
    }

    /** The name of the limit that it waited for. */
    public Optional<String> getLimit() {
        return Optional.ofNullable(limit);
    }

    /** The attempt that was to come, counted from 1. */
    public int getAttempt() {
        return attempt;
    }

    /** From when on. */
    public Instant getSince() {
        return since;
    }

    /** When that attempt began, or the job was put aside anew or ended; absent while it waits. */
    public Optional<Instant> getUntil() {
        return Optional.ofNullable(until);
    }

    /** So far, while it waits. */
    public long getDurationMs() {
        return durationMs;
    }
}
