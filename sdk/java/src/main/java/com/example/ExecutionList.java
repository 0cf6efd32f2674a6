package com.example;

import java.util.List;

/** A page of the executions of a task, itself a list of them. */
public final class ExecutionList extends Page<Execution> {
    ExecutionList(Members members) {
        super(members.list("executions", ExecutionRow::new), members);
    }

    /** The executions, the latest first. */
    public List<Execution> getExecutions() {
        return List.copyOf(this);
    }
}
