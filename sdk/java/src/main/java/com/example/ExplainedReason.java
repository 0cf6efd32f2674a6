package com.example;

import java.util.Optional;

/** One reason. */
public final class ExplainedReason extends Model {
    private final Verdict code;
    private final String message;
    private final String remedy;

    ExplainedReason(Members members) {
        code = Verdict.of(members.text("code"));
        message = members.text("message");
        remedy = members.textOrNull("remedy");
    }

    /** A stable word: docs/explain.md lists them. */
    public Verdict getCode() {
        return code;
    }

    /** What happened. */
    public String getMessage() {
        return message;
    }

    /** What to do about it; absent where all is as it should be. */
    public Optional<String> getRemedy() {
        return Optional.ofNullable(remedy);
    }
}
