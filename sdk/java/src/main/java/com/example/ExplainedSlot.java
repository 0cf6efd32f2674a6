package com.example;

import java.time.Instant;

/** When in the window it is the user's turn. */
public final class ExplainedSlot extends Model {
    private final int number;
    private final Instant plannedAt;
    private final boolean exact;
    private final long marginMs;

    ExplainedSlot(Members members) {
        number = members.integer("number");
        plannedAt = members.instant("planned_at");
        exact = members.flag("exact");
        marginMs = members.count("margin_ms");
    }

    /** Counted from 0, in slots of ten seconds. */
    public int getNumber() {
        return number;
    }

    /** When the job is due. */
    public Instant getPlannedAt() {
        return plannedAt;
    }

    /** false: worked out from the user's place among so many users; nothing tells it exactly any more, or yet. */
    public boolean isExact() {
        return exact;
    }

    /** It is within so much of planned_at, in 99 of 100 cases; 0 where it is exact. */
    public long getMarginMs() {
        return marginMs;
    }
}
