package com.example;

/** 401: the API key does not hold. */
public final class AuthenticationException extends ApiException {
    private static final long serialVersionUID = 1L;

    AuthenticationException(Problem problem) {
        super(problem);
    }
}
