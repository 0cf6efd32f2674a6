package com.example;

/** 409: what is there does not allow it now; {@link #getCode} says what. */
public final class ConflictException extends ApiException {
    private static final long serialVersionUID = 1L;

    ConflictException(Problem problem) {
        super(problem);
    }
}
