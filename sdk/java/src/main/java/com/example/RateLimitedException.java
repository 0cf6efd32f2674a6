package com.example;

/** 429: more requests than the quota of the API key; {@link #getRetryAfter} says when to go on. */
public final class RateLimitedException extends ApiException {
    private static final long serialVersionUID = 1L;

    RateLimitedException(Problem problem) {
        super(problem);
    }
}
