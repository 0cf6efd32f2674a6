package com.example;

import java.util.List;

/** What became of tasks that were to be created together. */
public final class BulkCreated extends Model {
    private final long created;
    private final long failed;
    private final List<String> taskIds;
    private final List<BulkProblem> errors;

    BulkCreated(Members members) {
        created = members.count("created");
        failed = members.count("failed");
        taskIds = members.texts("task_ids");
        errors = members.listIfThere("errors", BulkProblem::new);
    }

    /** How many were made. */
    public long getCreated() {
        return created;
    }

    /** How many were refused. */
    public long getFailed() {
        return failed;
    }

    /** Those that were made, in the order of the request. */
    public List<String> getTaskIds() {
        return taskIds;
    }

    /** Those that were refused; not there where none was. */
    public List<BulkProblem> getErrors() {
        return errors;
    }
}
