package com.example;

import java.io.Serializable;
import java.util.Optional;

/** A field or parameter of a request that was refused. */
public final class FieldProblem implements Serializable {
    private static final long serialVersionUID = 1L;

    private final String pointer;
    private final String parameter;
    private final String detail;

    FieldProblem(String pointer, String parameter, String detail) {
        this.pointer = pointer;
        this.parameter = parameter;
        this.detail = detail;
    }

    /** Where it is in the body: a JSON pointer, as in /tags/team. */
    public Optional<String> getPointer() {
        return Optional.ofNullable(pointer);
    }

    /** Name of the path parameter, query parameter or header that it is. */
    public Optional<String> getParameter() {
        return Optional.ofNullable(parameter);
    }

    /** What is wrong with it, and what to send instead. */
    public String getDetail() {
        return detail;
    }

    @Override
    public String toString() {
        return (pointer == null ? parameter : pointer) + ": " + detail;
    }
}
