package com.example;

import java.time.Instant;
import java.util.Optional;

/** A task that this one waits for when it is due. */
public final class ExplainedDependency extends Model {
    private final String taskId;
    private final String taskName;
    private final DependencyType dependencyType;
    private final boolean satisfied;
    private final Instant endedAt;

    ExplainedDependency(Members members) {
        taskId = members.text("task_id");
        taskName = members.text("task_name");
        dependencyType = DependencyType.of(members.text("dependency_type"));
        satisfied = members.flag("satisfied");
        endedAt = members.instantOrNull("ended_at");
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** What people call it. */
    public String getTaskName() {
        return taskName;
    }

    /** How that task has to end. */
    public DependencyType getDependencyType() {
        return dependencyType;
    }

    /** Whether it has ended as it should since the last run. */
    public boolean isSatisfied() {
        return satisfied;
    }

    /** When it last ended that way. */
    public Optional<Instant> getEndedAt() {
        return Optional.ofNullable(endedAt);
    }
}
