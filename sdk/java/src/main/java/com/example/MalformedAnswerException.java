package com.example;

/** An answer that is not JSON, not what the API answers, or too large. */
public final class MalformedAnswerException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    MalformedAnswerException(String message) {
        super(message);
    }
}
