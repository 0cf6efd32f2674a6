package com.example;

import java.time.Duration;
import java.util.Objects;

/**
 * Something that holds for one call, as the last arguments of each method of {@link TaskSchedulerClient}.
 *
 * <p>{@code client.createTask(task, RequestOption.idempotencyKey("report-of-today"))}
 */
public final class RequestOption {
    /** Longer than this is no time-out. */
    private static final Duration LONGEST = Duration.ofDays(1);

    enum Kind {
        TIMEOUT, IDEMPOTENCY_KEY, IF_MATCH
    }

    private final Kind kind;
    private final Object value;

    private RequestOption(Kind kind, Object value) {
        this.kind = kind;
        this.value = value;
    }

    /**
     * How long the call may take, with all its tries, in the place of the client's time-out.
     *
     * @throws IllegalArgumentException where it is not above zero, and one day at most
     */
    public static RequestOption timeout(Duration timeout) {
        return new RequestOption(Kind.TIMEOUT, checked(timeout, "timeout"));
    }

    /**
     * The Idempotency-Key of a POST, in the place of one that is made up: of calls with the same key within 24 hours
     * one is done, and the others get its answer.
     *
     * @throws IllegalArgumentException where it is not 1 to 255 visible ASCII characters
     */
    public static RequestOption idempotencyKey(String key) {
        return new RequestOption(Kind.IDEMPOTENCY_KEY, visible(key, "an Idempotency-Key"));
    }

    /**
     * Change the task only if this is its version still: {@link TaskDetails#getEtag}.
     *
     * @throws IllegalArgumentException where it is not 1 to 255 visible ASCII characters
     */
    public static RequestOption ifMatch(String etag) {
        return new RequestOption(Kind.IF_MATCH, visible(etag, "an ETag"));
    }

    Kind kind() {
        return kind;
    }

    Object value() {
        return value;
    }

    @Override
    public String toString() {
        return kind + "=" + value;
    }

    static Duration checked(Duration timeout, String name) {
        Objects.requireNonNull(timeout, name);
        if (timeout.isNegative() || timeout.isZero() || timeout.compareTo(LONGEST) > 0) {
            throw new IllegalArgumentException(name + " is " + timeout + "; give more than nothing and a day at most");
        }
        return timeout;
    }

    private static String visible(String value, String name) {
        if (value == null || !value.matches("[\\x21-\\x7e]{1,255}")) {
            throw new IllegalArgumentException(name + " is 1 to 255 visible ASCII characters, such as a UUID");
        }
        return value;
    }
}
