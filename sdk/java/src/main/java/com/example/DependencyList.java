package com.example;

import java.util.List;

/** The dependencies of a task. */
public final class DependencyList extends Model {
    private final List<ListedDependency> dependencies;

    DependencyList(Members members) {
        dependencies = members.list("dependencies", ListedDependency::new);
    }

    /** Those of the task. */
    public List<ListedDependency> getDependencies() {
        return dependencies;
    }
}
