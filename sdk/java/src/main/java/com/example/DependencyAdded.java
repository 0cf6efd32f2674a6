package com.example;

/** A dependency that was added. */
public final class DependencyAdded extends Model {
    private final String dependencyId;
    private final String taskId;
    private final String dependsOnTaskId;
    private final DependencyType dependencyType;

    DependencyAdded(Members members) {
        dependencyId = members.text("dependency_id");
        taskId = members.text("task_id");
        dependsOnTaskId = members.text("depends_on_task_id");
        dependencyType = DependencyType.of(members.text("dependency_type"));
    }

    /** Its own id. */
    public String getDependencyId() {
        return dependencyId;
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** The task that has to end first. */
    public String getDependsOnTaskId() {
        return dependsOnTaskId;
    }

    /** How that task has to end. */
    public DependencyType getDependencyType() {
        return dependencyType;
    }
}
