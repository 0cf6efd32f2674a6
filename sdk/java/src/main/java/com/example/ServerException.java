package com.example;

/** 5xx: the server has failed. */
public class ServerException extends ApiException {
    private static final long serialVersionUID = 1L;

    ServerException(Problem problem) {
        super(problem);
    }
}
