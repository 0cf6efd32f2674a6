package com.example;

/** 413: the request is too large. */
public final class PayloadTooLargeException extends ApiException {
    private static final long serialVersionUID = 1L;

    PayloadTooLargeException(Problem problem) {
        super(problem);
    }
}
