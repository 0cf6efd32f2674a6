package com.example;

import java.time.Instant;
import java.util.Map;

/** A request on record in the audit log. */
public final class ChangeAnswer extends Model {
    private final Instant at;
    private final String method;
    private final String route;
    private final Map<String, String> ids;
    private final String tokenId;
    private final int status;
    private final String requestId;

    ChangeAnswer(Members members) {
        at = members.instant("at");
        method = members.text("method");
        route = members.text("route");
        ids = members.textMap("ids");
        tokenId = members.text("token_id");
        status = members.integer("status");
        requestId = members.text("request_id");
    }

    /** When it was answered. */
    public Instant getAt() {
        return at;
    }

    /** Its method. */
    public String getMethod() {
        return method;
    }

    /** The template of its path, as in /api/v1/tasks/{task_id}. */
    public String getRoute() {
        return route;
    }

    /** What stood in the path, by the names in route. */
    public Map<String, String> getIds() {
        return ids;
    }

    /** The id of the token that it came with; bootstrap for the one that the API was started with. */
    public String getTokenId() {
        return tokenId;
    }

    /** The status of its answer. */
    public int getStatus() {
        return status;
    }

    /** The X-Request-Id of its answer. */
    public String getRequestId() {
        return requestId;
    }
}
