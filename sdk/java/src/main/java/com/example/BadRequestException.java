package com.example;

/** 400: the body is no JSON, or JSON that could be read in two ways. */
public final class BadRequestException extends ApiException {
    private static final long serialVersionUID = 1L;

    BadRequestException(Problem problem) {
        super(problem);
    }
}
