package com.example;

import java.time.Instant;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Gathers the fields of a task: what is set is sent, also a null; what is not, the API decides.
 *
 * <p>Values are not judged here but by the API, which answers a {@link ValidationException} that names each wrong one.
 *
 * @param <B> the builder itself
 */
public abstract class TaskFields<B extends TaskFields<B>> {
    private final Map<String, Object> members = new LinkedHashMap<>();

    TaskFields() {
    }

    abstract B self();

    /** What people call it: 1 to 200 characters; need not be unique. */
    public B taskName(String taskName) {
        return set("task_name", taskName);
    }

    /** What says when it runs; the field that goes with it is needed, the other two are refused. */
    public B taskType(TaskType taskType) {
        return set("task_type", taskType);
    }

    /** Of {@link TaskType#CRON}: minute, hour, day of month, month, day of week; or an alias such as {@code @daily}. */
    public B scheduleExpression(String scheduleExpression) {
        return set("schedule_expression", scheduleExpression);
    }

    /** Of {@link TaskType#ONE_TIME}: when it runs. */
    public B nextExecutionTime(Instant nextExecutionTime) {
        return set("next_execution_time", nextExecutionTime);
    }

    /** Of {@link TaskType#INTERVAL}: every so many hours, days, weeks or months. */
    public B interval(Interval interval) {
        return set("interval", interval == null ? null : interval.toMap());
    }

    /** IANA name of the zone whose wall clock counts. */
    public B timezone(String timezone) {
        return set("timezone", timezone);
    }

    /**
     * What is sent with each call: anything that Jackson can write, best maps, lists and plain values. Its keys are
     * yours and stay as they are; it is copied at once.
     *
     * @throws IllegalArgumentException where Jackson cannot write it
     */
    public B payload(Object payload) {
        members.put("payload", Json.snapshot("payload", payload));
        return self();
    }

    /** Seconds that one HTTP attempt may take, 1 to 900. */
    public B timeoutSeconds(int timeoutSeconds) {
        return set("timeout_seconds", timeoutSeconds);
    }

    /** Tries after the first, 0 to 100. */
    public B maxRetries(int maxRetries) {
        return set("max_retries", maxRetries);
    }

    /** Which queue. */
    public B priority(Priority priority) {
        return set("priority", priority);
    }

    /** Words of yours, to find it again; their keys stay as they are. */
    public B tags(Map<String, String> tags) {
        return set("tags", tags == null ? null : new LinkedHashMap<>(tags));
    }

    /** Whether it runs; false makes it paused. */
    public B enabled(boolean enabled) {
        return set("enabled", enabled);
    }

    /** What it calls. */
    public B config(GivenTarget config) {
        return set("config", config == null ? null : config.toMap());
    }

    /** A task type of tasks.yaml: what that calls, this calls. */
    public B taskTypeId(String taskTypeId) {
        return set("task_type_id", taskTypeId);
    }

    /** What was set so far, in the words and values of JSON. */
    final Map<String, Object> members() {
        return Collections.unmodifiableMap(new LinkedHashMap<>(members));
    }

    private B set(String name, Object value) {
        members.put(name, value instanceof OpenEnum || value instanceof Instant ? value.toString() : value);
        return self();
    }
}
