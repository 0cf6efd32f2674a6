package com.example;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** A task with all that is known about it. */
public final class TaskDetails extends Model implements Task {
    private final String taskId;
    private final String taskName;
    private final TaskType taskType;
    private final String scheduleExpression;
    private final String timezone;
    private final Instant nextExecutionTime;
    private final Instant lastExecutionTime;
    private final TaskStatus status;
    private final boolean enabled;
    private final Object payload;
    private final int timeoutSeconds;
    private final int maxRetries;
    private final int retryCount;
    private final Priority priority;
    private final Instant createdAt;
    private final Instant updatedAt;
    private final Interval interval;
    private final Map<String, String> tags;
    private final ShownTarget config;
    private final TaskSource source;
    private final String etag;

    TaskDetails(Members members) {
        taskId = members.text("task_id");
        taskName = members.text("task_name");
        taskType = TaskType.of(members.text("task_type"));
        scheduleExpression = members.textOrNull("schedule_expression");
        timezone = members.text("timezone");
        nextExecutionTime = members.instantOrNull("next_execution_time");
        lastExecutionTime = members.instantOrNull("last_execution_time");
        status = TaskStatus.of(members.text("status"));
        enabled = members.flag("enabled");
        payload = members.json("payload");
        timeoutSeconds = members.integer("timeout_seconds");
        maxRetries = members.integer("max_retries");
        retryCount = members.integer("retry_count");
        priority = Priority.of(members.text("priority"));
        createdAt = members.instant("created_at");
        updatedAt = members.instant("updated_at");
        interval = Interval.orNull(members.jsonObjectOrNull("interval"));
        tags = members.textMap("tags");
        config = members.object("config", ShownTarget::new);
        source = TaskSource.of(members.text("source"));
        etag = members.etag();
    }

    @Override
    public String getTaskId() {
        return taskId;
    }

    @Override
    public String getTaskName() {
        return taskName;
    }

    /** What says when it runs. */
    public TaskType getTaskType() {
        return taskType;
    }

    /** The cron expression, of a cron task. */
    public Optional<String> getScheduleExpression() {
        return Optional.ofNullable(scheduleExpression);
    }

    /** IANA name of the zone whose wall clock counts. */
    public String getTimezone() {
        return timezone;
    }

    @Override
    public Optional<Instant> getNextExecutionTime() {
        return Optional.ofNullable(nextExecutionTime);
    }

    /** When its latest execution was queued. */
    public Optional<Instant> getLastExecutionTime() {
        return Optional.ofNullable(lastExecutionTime);
    }

    @Override
    public TaskStatus getStatus() {
        return status;
    }

    /** Whether it runs; false is paused. */
    public boolean isEnabled() {
        return enabled;
    }

    /** Any JSON value. */
    public Object getPayload() {
        return payload;
    }

    /** Seconds that one attempt may take. */
    public int getTimeoutSeconds() {
        return timeoutSeconds;
    }

    /** Tries after the first. */
    public int getMaxRetries() {
        return maxRetries;
    }

    /** Retries of its latest execution. */
    public int getRetryCount() {
        return retryCount;
    }

    /** Its queue. */
    public Priority getPriority() {
        return priority;
    }

    @Override
    public Instant getCreatedAt() {
        return createdAt;
    }

    /** When it was last changed. */
    public Instant getUpdatedAt() {
        return updatedAt;
    }

    /** Of an interval task. */
    public Optional<Interval> getInterval() {
        return Optional.ofNullable(interval);
    }

    /** Words of yours, as you wrote them. */
    public Map<String, String> getTags() {
        return tags;
    }

    /** What it calls. */
    public ShownTarget getConfig() {
        return config;
    }

    /** file for a task type of tasks.yaml, which is changed there. */
    public TaskSource getSource() {
        return source;
    }

    /** Its version, for {@link RequestOption#ifMatch}; empty where a proxy took it away. */
    public Optional<String> getEtag() {
        return Optional.ofNullable(etag);
    }
}
