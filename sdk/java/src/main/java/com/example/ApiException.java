package com.example;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The API said no: an RFC 9457 problem, or the bare status of something that stands before the API. */
public class ApiException extends TaskSchedulerException {
    private static final long serialVersionUID = 1L;

    private final int status;
    private final String code;
    private final String title;
    private final String detail;
    private final String requestId;
    private final ArrayList<FieldProblem> errors;
    private final LinkedHashMap<String, Object> extensions;
    private final Duration retryAfter;

    ApiException(Problem problem) {
        super(problem.message());
        status = problem.status();
        code = problem.code();
        title = problem.title();
        detail = problem.detail();
        requestId = problem.requestId();
        errors = new ArrayList<>(problem.errors());
        extensions = new LinkedHashMap<>(problem.extensions());
        retryAfter = problem.retryAfter();
    }

    /** The status of the answer. */
    public int getStatus() {
        return status;
    }

    /** What is wrong, as a stable word for programs; empty where it was not the API that answered. */
    public Optional<String> getCode() {
        return Optional.ofNullable(code);
    }

    /** The phrase of the status. */
    public Optional<String> getTitle() {
        return Optional.ofNullable(title);
    }

    /** What is wrong, and what to do about it. */
    public Optional<String> getDetail() {
        return Optional.ofNullable(detail);
    }

    /** The X-Request-Id of the answer: it finds the request in the log of the API. */
    public Optional<String> getRequestId() {
        return Optional.ofNullable(requestId);
    }

    /** Each wrong field, where fields are wrong; else none. */
    public List<FieldProblem> getErrors() {
        return Collections.unmodifiableList(errors);
    }

    /** What the problem says besides, such as the cycle of dependencies that would be. */
    public Map<String, Object> getExtensions() {
        return Collections.unmodifiableMap(extensions);
    }

    /** After how long to try again, where the answer says so. */
    public Optional<Duration> getRetryAfter() {
        return Optional.ofNullable(retryAfter);
    }
}
