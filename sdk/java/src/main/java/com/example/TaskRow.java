package com.example;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/** A task in a list. */
public final class TaskRow extends Model implements Task {
    private final String taskId;
    private final String taskName;
    private final TaskStatus status;
    private final Instant nextExecutionTime;
    private final Instant lastExecutionTime;
    private final TaskType taskType;
    private final String scheduleExpression;
    private final String timezone;
    private final boolean enabled;
    private final Priority priority;
    private final Map<String, String> tags;
    private final TaskSource source;
    private final Instant createdAt;
    private final Instant updatedAt;

    TaskRow(Members members) {
        taskId = members.text("task_id");
        taskName = members.text("task_name");
        status = TaskStatus.of(members.text("status"));
        nextExecutionTime = members.instantOrNull("next_execution_time");
        lastExecutionTime = members.instantOrNull("last_execution_time");
        taskType = TaskType.of(members.text("task_type"));
        scheduleExpression = members.textOrNull("schedule_expression");
        timezone = members.text("timezone");
        enabled = members.flag("enabled");
        priority = Priority.of(members.text("priority"));
        tags = members.textMap("tags");
        source = TaskSource.of(members.text("source"));
        createdAt = members.instant("created_at");
        updatedAt = members.instant("updated_at");
    }

    @Override
    public String getTaskId() {
        return taskId;
    }

    @Override
    public String getTaskName() {
        return taskName;
    }

    @Override
    public TaskStatus getStatus() {
        return status;
    }

    @Override
    public Optional<Instant> getNextExecutionTime() {
        return Optional.ofNullable(nextExecutionTime);
    }

    /** When its latest execution was queued. */
    public Optional<Instant> getLastExecutionTime() {
        return Optional.ofNullable(lastExecutionTime);
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

    /** Whether it runs; false is paused. */
    public boolean isEnabled() {
        return enabled;
    }

    /** Its queue. */
    public Priority getPriority() {
        return priority;
    }

    /** Words of yours, as you wrote them. */
    public Map<String, String> getTags() {
        return tags;
    }

    /** file for a task type of tasks.yaml. */
    public TaskSource getSource() {
        return source;
    }

    @Override
    public Instant getCreatedAt() {
        return createdAt;
    }

    /** When it was last changed. */
    public Instant getUpdatedAt() {
        return updatedAt;
    }
}
