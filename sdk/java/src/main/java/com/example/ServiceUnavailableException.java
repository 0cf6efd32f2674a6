package com.example;

/** 503: Redis is away, or there was no answer in time; {@link #getRetryAfter} says when to try again. */
public final class ServiceUnavailableException extends ServerException {
    private static final long serialVersionUID = 1L;

    ServiceUnavailableException(Problem problem) {
        super(problem);
    }
}
