package com.example;

import java.time.Instant;

/** A line of the log of an execution. */
public final class LogLineView extends Model {
    private final Instant timestamp;
    private final LogLevel level;
    private final String message;

    LogLineView(Members members) {
        timestamp = members.instant("timestamp");
        level = LogLevel.of(members.text("level"));
        message = members.text("message");
    }

    /** When. */
    public Instant getTimestamp() {
        return timestamp;
    }

    /** How much it matters. */
    public LogLevel getLevel() {
        return level;
    }

    /** What happened. */
    public String getMessage() {
        return message;
    }
}
