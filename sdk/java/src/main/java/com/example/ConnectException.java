package com.example;

/** No connection to the API, or one that was cut before the whole answer was there. */
public final class ConnectException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    ConnectException(String message, Throwable cause) {
        super(message, cause);
    }
}
