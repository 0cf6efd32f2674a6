package com.example;

import java.util.List;
import java.util.Optional;

/** The schedulers and what they plan. */
public final class SchedulerStatus extends Model {
    private final String leader;
    private final List<String> followers;
    private final long tasksScheduled;
    private final Long tasksPending;

    SchedulerStatus(Members members) {
        leader = members.textOrNull("leader");
        followers = members.texts("followers");
        tasksScheduled = members.count("tasks_scheduled");
        tasksPending = members.countOrNull("tasks_pending");
    }

    /** Instance id of the scheduler that leads; absent while none does. */
    public Optional<String> getLeader() {
        return Optional.ofNullable(leader);
    }

    /** Instance ids of those that stand by. */
    public List<String> getFollowers() {
        return followers;
    }

    /** Tasks that are to run: scheduled, or waiting for another task. */
    public long getTasksScheduled() {
        return tasksScheduled;
    }

    /** Jobs that wait: for their time, for room under a limit, or in a ready queue; absent without RabbitMQ. */
    public Optional<Long> getTasksPending() {
        return Optional.ofNullable(tasksPending);
    }
}
