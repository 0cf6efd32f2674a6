package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** What a change of a task came to. */
public final class TaskUpdated extends Model {
    private final String taskId;
    private final List<String> updatedFields;
    private final Instant nextExecutionTime;
    private final Instant updatedAt;
    private final String etag;

    TaskUpdated(Members members) {
        taskId = members.text("task_id");
        updatedFields = members.texts("updated_fields");
        nextExecutionTime = members.instantOrNull("next_execution_time");
        updatedAt = members.instant("updated_at");
        etag = members.etag();
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** What has changed, in the order of the request. */
    public List<String> getUpdatedFields() {
        return updatedFields;
    }

    /** When it runs next; empty where it does not. */
    public Optional<Instant> getNextExecutionTime() {
        return Optional.ofNullable(nextExecutionTime);
    }

    /** When it was last changed. */
    public Instant getUpdatedAt() {
        return updatedAt;
    }

    /** Its version, for {@link RequestOption#ifMatch}; empty where a proxy took it away. */
    public Optional<String> getEtag() {
        return Optional.ofNullable(etag);
    }
}
