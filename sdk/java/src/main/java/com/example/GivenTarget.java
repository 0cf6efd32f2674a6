package com.example;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** What a task is to call: {@code GivenTarget.of("https://example.com/report").method("PUT")}. Immutable. */
public final class GivenTarget {
    private final Map<String, Object> members;

    private GivenTarget(Map<String, Object> members) {
        this.members = members;
    }

    /** Calls an http or https URL; {@code {task_id}} in path and query is filled in. */
    public static GivenTarget of(String endpoint) {
        return new GivenTarget(Map.of()).with("endpoint", endpoint);
    }

    /** GET, POST, PUT, PATCH or DELETE; POST unless set. */
    public GivenTarget method(String method) {
        return with("method", method);
    }

    /** Headers to send; answers show their names alone. */
    public GivenTarget headers(Map<String, String> headers) {
        return with("headers", Collections.unmodifiableMap(new LinkedHashMap<>(headers)));
    }

    /** A second limit on one attempt, as in {@code 30s}; the smaller one of this and timeoutSeconds holds. */
    public GivenTarget maxDuration(String maxDuration) {
        return with("max_duration", maxDuration);
    }

    Map<String, Object> toMap() {
        return members;
    }

    /** Without the headers, which may be secret. */
    @Override
    public String toString() {
        return "GivenTarget[" + members.get("endpoint") + "]";
    }

    private GivenTarget with(String name, Object value) {
        Map<String, Object> more = new LinkedHashMap<>(members);
        more.put(name, value);
        return new GivenTarget(Collections.unmodifiableMap(more));
    }
}
