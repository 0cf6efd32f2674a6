package com.example;

import java.util.Map;

/** Changes of a task: what is not set stays as it is. */
public final class UpdateTask {
    private final Map<String, Object> members;

    private UpdateTask(Map<String, Object> members) {
        this.members = members;
    }

    /** Begins changes. */
    public static Builder builder() {
        return new Builder();
    }

    /** The body of the request. */
    Map<String, Object> members() {
        return members;
    }

    /** The names of what is set; no values, for a payload or header may be secret. */
    @Override
    public String toString() {
        return "UpdateTask" + members.keySet();
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
        public UpdateTask build() {
            return new UpdateTask(members());
        }
    }
}
