package com.example;

/** No whole answer in time. Whether the request was done is not known. */
public final class RequestTimeoutException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    RequestTimeoutException(String message) {
        super(message);
    }
}
