package com.example;

import java.util.List;

/** What became of tasks that were to be deleted together. */
public final class BulkDeleted extends Model {
    private final long deleted;
    private final long failed;
    private final List<BulkProblem> errors;

    BulkDeleted(Members members) {
        deleted = members.count("deleted");
        failed = members.count("failed");
        errors = members.listIfThere("errors", BulkProblem::new);
    }

    /** How many are gone now. */
    public long getDeleted() {
        return deleted;
    }

    /** How many are not there, or could not be deleted. */
    public long getFailed() {
        return failed;
    }

    /** Those that failed; not there where none did. */
    public List<BulkProblem> getErrors() {
        return errors;
    }
}
