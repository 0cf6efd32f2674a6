package com.example;

/** 403: the scope of the API key is not enough. */
public final class PermissionDeniedException extends ApiException {
    private static final long serialVersionUID = 1L;

    PermissionDeniedException(Problem problem) {
        super(problem);
    }
}
