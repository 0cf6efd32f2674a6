package com.example;

import java.util.Map;

/** A task to be created; {@link Task#builder} begins one. */
public final class CreateTask {
    private final Map<String, Object> members;

    private CreateTask(Map<String, Object> members) {
        this.members = members;
    }

    /** The body of the request. */
    Map<String, Object> members() {
        return members;
    }

    /** The names of what is set; no values, for a payload or header may be secret. */
    @Override
    public String toString() {
        return "CreateTask" + members.keySet();
    }

    /** Gathers the fields. */
    public static final class Builder extends TaskFields<Builder> {
        Builder() {
        }

        @Override
        Builder self() {
            return this;
        }

        /** What is set by now. */
        public CreateTask build() {
            return new CreateTask(members());
        }
    }
}
