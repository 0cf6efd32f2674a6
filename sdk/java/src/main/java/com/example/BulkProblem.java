package com.example;

import java.util.List;
import java.util.Optional;

/** Why one item of a bulk request was refused. */
public final class BulkProblem extends Model {
    private final int index;
    private final String taskId;
    private final String code;
    private final String detail;
    private final List<WrongField> errors;

    BulkProblem(Members members) {
        index = members.integer("index");
        taskId = members.textIfThere("task_id");
        code = members.text("code");
        detail = members.text("detail");
        errors = members.listIfThere("errors", WrongField::new);
    }

    /** Its position in the request, from 0. */
    public int getIndex() {
        return index;
    }

    /** Its id, where it has one. */
    public Optional<String> getTaskId() {
        return Optional.ofNullable(taskId);
    }

    /** What is wrong, as a stable word for programs. */
    public String getCode() {
        return code;
    }

    /** What is wrong, and what to do about it. */
    public String getDetail() {
        return detail;
    }

    /** Each wrong field. */
    public List<WrongField> getErrors() {
        return errors;
    }
}
