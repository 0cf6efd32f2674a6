package com.example;

/** 412: the task is no longer as {@link RequestOption#ifMatch} says; get it again. */
public final class PreconditionFailedException extends ApiException {
    private static final long serialVersionUID = 1L;

    PreconditionFailedException(Problem problem) {
        super(problem);
    }
}
