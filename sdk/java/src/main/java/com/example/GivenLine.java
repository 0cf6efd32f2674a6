package com.example;

import java.time.Instant;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** A line for the log of an execution: {@code GivenLine.of("Report written").level(LogLevel.INFO)}. Immutable. */
public final class GivenLine {
    private final Map<String, Object> members;

    private GivenLine(Map<String, Object> members) {
        this.members = members;
    }

    /** What happened; what is longer than 2048 bytes of UTF-8 is cut, and marked as cut. */
    public static GivenLine of(String message) {
        return new GivenLine(Map.of()).with("message", message);
    }

    /** When it happened; else when the API gets it. */
    public GivenLine timestamp(Instant timestamp) {
        return with("timestamp", timestamp.toString());
    }

    /** How much it matters; else INFO. */
    public GivenLine level(LogLevel level) {
        return with("level", level.toString());
    }

    Map<String, Object> toMap() {
        return members;
    }

    @Override
    public String toString() {
        return "GivenLine" + members;
    }

    private GivenLine with(String name, Object value) {
        Map<String, Object> more = new LinkedHashMap<>(members);
        more.put(name, value);
        return new GivenLine(Collections.unmodifiableMap(more));
    }
}
