package com.example;

import java.util.Map;
import java.util.Optional;

/** What a task calls. */
public final class ShownTarget extends Model {
    private final String endpoint;
    private final String method;
    private final Map<String, String> headers;
    private final String maxDuration;

    ShownTarget(Members members) {
        endpoint = members.text("endpoint");
        method = members.text("method");
        headers = members.textMap("headers");
        maxDuration = members.textOrNull("max_duration");
    }

    /** The URL. */
    public String getEndpoint() {
        return endpoint;
    }

    /** The HTTP method. */
    public String getMethod() {
        return method;
    }

    /** Names of the headers that are sent; their values are hidden. */
    public Map<String, String> getHeaders() {
        return headers;
    }

    /** A second limit on one attempt. */
    public Optional<String> getMaxDuration() {
        return Optional.ofNullable(maxDuration);
    }
}
