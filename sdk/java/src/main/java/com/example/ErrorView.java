package com.example;

/** Why an attempt failed. */
public final class ErrorView extends Model {
    private final String code;
    private final String message;
    private final boolean retry;

    ErrorView(Members members) {
        code = members.text("code");
        message = members.text("message");
        retry = members.flag("retry");
    }

    /** A stable word: docs/errors.md lists them. */
    public String getCode() {
        return code;
    }

    /** What happened. */
    public String getMessage() {
        return message;
    }

    /** Whether another attempt follows. */
    public boolean isRetry() {
        return retry;
    }
}
