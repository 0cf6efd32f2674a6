package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** The first occurrence after that. */
public final class ExplainedNext extends Model {
    private final Instant scheduledAt;
    private final Verdict verdict;
    private final List<ExplainedReason> reasons;
    private final ExplainedSlot slot;

    ExplainedNext(Members members) {
        scheduledAt = members.instantOrNull("scheduled_at");
        verdict = Verdict.of(members.text("verdict"));
        reasons = members.list("reasons", ExplainedReason::new);
        slot = members.objectOrNull("slot", ExplainedSlot::new);
    }

    /** absent where there is none any more. */
    public Optional<Instant> getScheduledAt() {
        return Optional.ofNullable(scheduledAt);
    }

    /** The code of the first reason. */
    public Verdict getVerdict() {
        return verdict;
    }

    /** The first one decides. */
    public List<ExplainedReason> getReasons() {
        return reasons;
    }

    /** When in its window it is the user's turn. */
    public Optional<ExplainedSlot> getSlot() {
        return Optional.ofNullable(slot);
    }
}
