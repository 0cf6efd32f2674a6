package com.example;

/** 422: fields are wrong; {@link #getErrors} names them. */
public final class ValidationException extends ApiException {
    private static final long serialVersionUID = 1L;

    ValidationException(Problem problem) {
        super(problem);
    }
}
