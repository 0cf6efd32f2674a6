package com.example;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;

/** Makes calls of operations and sends them: what each method of the API has in common. */
final class Requests {
    private static final String PREFIX = "/api/v1/";

    /** What RFC 3986 lets stand in a path for itself alone. */
    private static final String UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    private final Transport transport;
    private final Duration timeout;

    Requests(Transport transport, Duration timeout) {
        this.transport = transport;
        this.timeout = timeout;
    }

    /** The path of these segments, each of which may hold any character but is not empty. */
    static String path(String... segments) {
        return PREFIX + Arrays.stream(segments).map(Requests::encoded).collect(Collectors.joining("/"));
    }

    /** The client's time-out, or what is left where that is less. */
    RequestOption within(Duration left) {
        return RequestOption.timeout(left.compareTo(timeout) < 0 ? left : timeout);
    }

    Answer get(String path, Query query, RequestOption... options) {
        Map<RequestOption.Kind, Object> given = given(options, Set.of(RequestOption.Kind.TIMEOUT));
        String target = query.parameters().isEmpty() ? path : path + "?" + query;
        return transport.send(new Call("GET", target, null, Map.of(), true, timeout(given)));
    }

    /** POSTs {@code body}, or nothing for null, under one Idempotency-Key for all tries. */
    Answer post(String path, Object body, RequestOption... options) {
        var given = given(options, Set.of(RequestOption.Kind.TIMEOUT, RequestOption.Kind.IDEMPOTENCY_KEY));
        String key = (String) given.getOrDefault(RequestOption.Kind.IDEMPOTENCY_KEY, UUID.randomUUID().toString());
        byte[] bytes = body == null ? null : Json.write(body);
        return transport.send(new Call("POST", path, bytes, Map.of("Idempotency-Key", key), true, timeout(given)));
    }

    /** PATCHes: once, for a second time might undo what somebody else has changed in between. */
    Answer patch(String path, Object body, RequestOption... options) {
        var given = given(options, Set.of(RequestOption.Kind.TIMEOUT, RequestOption.Kind.IF_MATCH));
        Map<String, String> headers = new LinkedHashMap<>();
        if (given.get(RequestOption.Kind.IF_MATCH) instanceof String etag) {
            headers.put("If-Match", etag);
        }
        return transport.send(new Call("PATCH", path, Json.write(body), headers, false, timeout(given)));
    }

    /** DELETEs: once, for a second time would not find what the first has deleted. */
    Answer delete(String path, RequestOption... options) {
        var given = given(options, Set.of(RequestOption.Kind.TIMEOUT));
        return transport.send(new Call("DELETE", path, null, Map.of(), false, timeout(given)));
    }

    private Duration timeout(Map<RequestOption.Kind, Object> given) {
        return (Duration) given.getOrDefault(RequestOption.Kind.TIMEOUT, timeout);
    }

    private static Map<RequestOption.Kind, Object> given(RequestOption[] options, Set<RequestOption.Kind> taken) {
        Map<RequestOption.Kind, Object> given = new EnumMap<>(RequestOption.Kind.class);
        for (RequestOption option : options) {
            if (!taken.contains(option.kind())) {
                throw new IllegalArgumentException(option.kind() + " is of no use to this call; leave it out");
            }
            given.put(option.kind(), option.value());
        }
        return given;
    }

    private static String encoded(String segment) {
        if (segment == null || segment.isEmpty() || segment.equals(".") || segment.equals("..")) {
            throw new IllegalArgumentException("the id '" + segment + "' is none; it would lead to another address");
        }
        StringBuilder encoded = new StringBuilder();
        for (byte one : segment.getBytes(StandardCharsets.UTF_8)) {
            char character = (char) (one & 0xff);
            boolean unreserved = UNRESERVED.indexOf(character) >= 0;
            encoded.append(unreserved ? String.valueOf(character) : String.format("%%%02X", (int) character));
        }
        return encoded.toString();
    }
}
