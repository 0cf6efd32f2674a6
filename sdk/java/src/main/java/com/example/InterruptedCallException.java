package com.example;

/** The thread was interrupted while it waited; its flag is set again. Whether the request was done is not known. */
public final class InterruptedCallException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    InterruptedCallException(String message, Throwable cause) {
        super(message, cause);
    }
}
