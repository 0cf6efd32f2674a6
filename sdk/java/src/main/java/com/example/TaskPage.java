package com.example;

import java.util.List;

/** A page of the tasks, itself a list of them. */
public final class TaskPage extends Page<TaskRow> {
    private final boolean totalIsExact;

    TaskPage(Members members) {
        super(members.list("tasks", TaskRow::new), members);
        totalIsExact = members.flagIfThere("total_is_exact", true);
    }

    /** The tasks, the latest first. */
    public List<TaskRow> getTasks() {
        return List.copyOf(this);
    }

    @Override
    boolean isWhole() {
        return totalIsExact;
    }

    /** False where a rare combination of filters was counted among the latest 10,000 candidates alone. */
    public boolean isTotalIsExact() {
        return totalIsExact;
    }
}
