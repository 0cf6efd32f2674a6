package com.example;

import java.time.Instant;
import java.util.Optional;

/** A task, as far as every answer tells of it; {@link TaskRow} and {@link TaskDetails} tell more. */
public sealed interface Task permits TaskCreated, TaskRow, TaskDetails {
    /** Begins a task that {@link TaskSchedulerClient#createTask} is to create. */
    static CreateTask.Builder builder() {
        return new CreateTask.Builder();
    }

    /** Its id. */
    String getTaskId();

    /** What people call it; need not be unique. */
    String getTaskName();

    /** Where it stands. */
    TaskStatus getStatus();

    /** When it runs next; empty where it does not: paused, or over. A paused one_time task keeps its instant. */
    Optional<Instant> getNextExecutionTime();

    /** When it was created. */
    Instant getCreatedAt();
}
