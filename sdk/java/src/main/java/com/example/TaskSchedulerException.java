package com.example;

/**
 * All that goes wrong between a program and the API; its message says what, and what to do about it.
 *
 * <pre>
 * TaskSchedulerException
 * ├── ApiException                        the API said no
 * │   ├── BadRequestException             400
 * │   ├── AuthenticationException         401
 * │   ├── PermissionDeniedException       403
 * │   ├── NotFoundException               404
 * │   ├── ConflictException               409
 * │   ├── PreconditionFailedException     412
 * │   ├── PayloadTooLargeException        413
 * │   ├── ValidationException             422
 * │   ├── RateLimitedException            429
 * │   └── ServerException                 5xx
 * │       └── ServiceUnavailableException 503
 * ├── ConnectException                    no connection, or one that was cut
 * ├── RequestTimeoutException             no answer in time
 * ├── MalformedAnswerException            an answer that cannot be read
 * ├── WaitTimeoutException                an execution that has not ended in time
 * └── InterruptedCallException            the thread was interrupted
 * </pre>
 *
 * <p>The API key stands in none of them. Arguments that no request can be made of are an
 * {@link IllegalArgumentException}.
 */
public class TaskSchedulerException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    TaskSchedulerException(String message) {
        super(message);
    }

    TaskSchedulerException(String message, Throwable cause) {
        super(message, cause);
    }
}
