package com.example;

/** A dependency in a list. */
public final class ListedDependency extends Model {
    private final String dependencyId;
    private final String dependsOnTaskId;
    private final String dependsOnTaskName;
    private final DependencyType dependencyType;

    ListedDependency(Members members) {
        dependencyId = members.text("dependency_id");
        dependsOnTaskId = members.text("depends_on_task_id");
        dependsOnTaskName = members.text("depends_on_task_name");
        dependencyType = DependencyType.of(members.text("dependency_type"));
    }

    /** Its own id. */
    public String getDependencyId() {
        return dependencyId;
    }

    /** The task that has to end first. */
    public String getDependsOnTaskId() {
        return dependsOnTaskId;
    }

    /** What people call that task. */
    public String getDependsOnTaskName() {
        return dependsOnTaskName;
    }

    /** How that task has to end. */
    public DependencyType getDependencyType() {
        return dependencyType;
    }
}
