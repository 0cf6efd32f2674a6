package com.example;

/** A field of a request that was refused. */
public final class WrongField extends Model {
    private final String pointer;
    private final String detail;

    WrongField(Members members) {
        pointer = members.text("pointer");
        detail = members.text("detail");
    }

    /** Where it is in the whole body: a JSON pointer, as in /tasks/3/task_name. */
    public String getPointer() {
        return pointer;
    }

    /** What is wrong with it, and what to send instead. */
    public String getDetail() {
        return detail;
    }
}
