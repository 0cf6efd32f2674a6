package com.example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What an answer that says no has in it (RFC 9457); from a proxy's page, the status alone. */
record Problem(
    String request,
    int status,
    String code,
    String title,
    String detail,
    String requestId,
    List<FieldProblem> errors,
    Map<String, Object> extensions,
    Duration retryAfter) {

    private static final Set<String> DECLARED =
        Set.of("type", "title", "status", "code", "detail", "instance", "request_id", "errors");

    /** Reads an answer; what cannot be read of it is left out, for its status says enough. */
    static Problem read(Answer answer, Secret secret) {
        JsonNode body = body(answer);
        Map<String, Object> extensions = new LinkedHashMap<>();
        body.fields().forEachRemaining(member -> {
            if (!DECLARED.contains(member.getKey())) {
                extensions.put(secret.hide(member.getKey()), secret.hideIn(Json.plain(member.getValue())));
            }
        });
        return new Problem(
            answer.request(),
            answer.status(),
            secret.hide(text(body, "code")),
            secret.hide(text(body, "title")),
            secret.hide(text(body, "detail")),
            secret.hide(answer.header("X-Request-Id").orElse(text(body, "request_id"))),
            errors(body, secret),
            extensions,
            answer.retryAfter());
    }

    /** The exception of the status. */
    ApiException exception() {
        return switch (status) {
            case 400 -> new BadRequestException(this);
            case 401 -> new AuthenticationException(this);
            case 403 -> new PermissionDeniedException(this);
            case 404 -> new NotFoundException(this);
            case 409 -> new ConflictException(this);
            case 412 -> new PreconditionFailedException(this);
            case 413 -> new PayloadTooLargeException(this);
            case 422 -> new ValidationException(this);
            case 429 -> new RateLimitedException(this);
            case 503 -> new ServiceUnavailableException(this);
            default -> status >= 500 ? new ServerException(this) : new ApiException(this);
        };
    }

    /** What was asked, what came back, and what to do. */
    String message() {
        StringBuilder message = new StringBuilder(request).append(": ").append(status);
        if (title != null) {
            message.append(' ').append(title);
        }
        if (code != null) {
            message.append(" (").append(code).append(')');
        }
        message.append("; ").append(detail == null ? remedy() : detail + "; " + correction());
        if (requestId != null) {
            message.append(" (request ").append(requestId).append(')');
        }
        return message.toString();
    }

    private String correction() {
        return switch (status) {
            case 401 -> "give an apiKey that holds";
            case 403 -> "use an apiKey of a wider scope";
            case 404 -> "check the id";
            case 409 -> "look at what is there, then decide";
            case 412 -> "get the task again, and use its new etag";
            case 413 -> "send less at a time";
            case 422 -> "correct the fields that getErrors() names";
            case 429 -> "wait for as long as getRetryAfter() says";
            default -> status >= 500
                ? "try again later, and check that the API runs"
                : "correct the request; look up its code in docs/api.md";
        };
    }

    private String remedy() {
        if (status < 400) {
            return "redirects are not followed, for they would carry the API key away: give baseUrl where they lead";
        }
        String answered = "something before the API has answered: ";
        return answered + switch (status) {
            case 401, 403, 407 -> "check whether a proxy wants a log-in of its own";
            case 404 -> "check baseUrl, with the prefix of its path";
            case 413 -> "send less at a time, or raise its limit";
            default -> status >= 500 ? "try again later, and check that the API runs" : "check baseUrl and the proxy";
        };
    }

    /** The body where it is a problem, else an empty object. */
    private static JsonNode body(Answer answer) {
        try {
            JsonNode body = Json.parse(answer.body());
            if (body.isObject() && body.path("code").isTextual()) {
                Json.plain(body);
                return body;
            }
        } catch (IOException | IllegalArgumentException error) {
            // No JSON, or too deep: a proxy's page. The status tells which exception it is.
        }
        return JsonNodeFactory.instance.objectNode();
    }

    private static List<FieldProblem> errors(JsonNode body, Secret secret) {
        List<FieldProblem> errors = new ArrayList<>();
        for (JsonNode error : body.path("errors")) {
            errors.add(new FieldProblem(
                secret.hide(text(error, "pointer")),
                secret.hide(text(error, "parameter")),
                secret.hide(text(error, "detail"))));
        }
        return errors;
    }

    private static String text(JsonNode object, String name) {
        return object.path(name).textValue();
    }
}
