package com.example;

/**
 * Which tasks of the list: {@code TaskQuery.all().status(TaskStatus.PAUSED).limit(50)}.
 *
 * <p>Immutable; each method returns another one. All filters hold together.
 */
public final class TaskQuery {
    private static final TaskQuery ALL = new TaskQuery(new Query());

    /** As many as the API gives at once. */
    private static final int LONGEST_PAGE = 100;

    private final Query query;

    private TaskQuery(Query query) {
        this.query = query;
    }

    /** All tasks: pages as long as the API makes them, of an iterator 100. */
    public static TaskQuery all() {
        return ALL;
    }

    /** Those that stand there. */
    public TaskQuery status(TaskStatus status) {
        return new TaskQuery(query.with("status", status));
    }

    /** Those of this queue. */
    public TaskQuery priority(Priority priority) {
        return new TaskQuery(query.with("priority", priority));
    }

    /** Those of this type. */
    public TaskQuery taskType(TaskType taskType) {
        return new TaskQuery(query.with("task_type", taskType));
    }

    /** Those with this tag; once more for another tag, and both are needed. */
    public TaskQuery tag(String key, String value) {
        return new TaskQuery(query.and("tag", key + ":" + value));
    }

    /** Those with this name; with a {@code *} behind it, those whose name begins so. */
    public TaskQuery name(String name) {
        return new TaskQuery(query.with("name", name));
    }

    /** How many at most, 1 to 100; of an iterator, how many it asks for at a time. */
    public TaskQuery limit(int limit) {
        return new TaskQuery(query.with("limit", limit));
    }

    /** How many to leave out before them. */
    public TaskQuery offset(int offset) {
        return new TaskQuery(query.with("offset", offset));
    }

    int firstOffset() {
        return query.number("offset", 0);
    }

    /** How many an iterator asks for at a time. */
    int pageSize() {
        return query.number("limit", LONGEST_PAGE);
    }

    Query query() {
        return query;
    }

    @Override
    public String toString() {
        return "TaskQuery[" + query + "]";
    }
}
