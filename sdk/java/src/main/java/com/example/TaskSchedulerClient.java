package com.example;

import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Calls the REST API of a task scheduler. One client serves all threads of a program.
 *
 * <p>Every method waits for the answer, {@link Builder#timeout} at most, and throws a {@link TaskSchedulerException}
 * where it is not a success. GET and POST are tried up to three times where the connection fails or the answer is 429,
 * 502, 503 or 504; a POST carries one Idempotency-Key through all its tries. PATCH and DELETE are sent once.
 *
 * <p>Lists hold at most 100 items an answer; the iterators get one page after the other.
 */
public final class TaskSchedulerClient implements AutoCloseable {
    /** The version of this SDK. */
    public static final String VERSION = "0.1.0";

    private static final Query NO_QUERY = new Query();

    private final Transport transport;
    private final Requests requests;
    private volatile boolean closed;

    private TaskSchedulerClient(Builder builder) {
        transport = new Transport(builder.baseUrl, new Secret(builder.apiKey), builder.connectTimeout);
        requests = new Requests(transport, builder.timeout);
    }

    /** Creates a task: {@link Task#builder}. */
    public TaskCreated createTask(CreateTask task, RequestOption... options) {
        return open().post(Requests.path("tasks"), task.members(), options).as(TaskCreated::new);
    }

    /** Creates many tasks at once; those that are refused do not keep the others from being made. */
    public BulkCreated createTasks(List<CreateTask> tasks, RequestOption... options) {
        Object body = Map.of("tasks", tasks.stream().map(CreateTask::members).toList());
        return open().post(Requests.path("tasks", "bulk"), body, options).as(BulkCreated::new);
    }

    /** Returns a task. */
    public TaskDetails getTask(String taskId, RequestOption... options) {
        return open().get(Requests.path("tasks", taskId), NO_QUERY, options).as(TaskDetails::new);
    }

    /** Returns a page of the tasks, the latest first. */
    public TaskPage listTasks(TaskQuery query, RequestOption... options) {
        return open().get(Requests.path("tasks"), query.query(), options).as(TaskPage::new);
    }

    /** Changes a task, and only the version of {@link RequestOption#ifMatch} where that is given. */
    public TaskUpdated updateTask(String taskId, UpdateTask changes, RequestOption... options) {
        return open().patch(Requests.path("tasks", taskId), changes.members(), options).as(TaskUpdated::new);
    }

    /** Deletes a task: what is queued of it is dropped, what runs ends. */
    public void deleteTask(String taskId, RequestOption... options) {
        open().delete(Requests.path("tasks", taskId), options);
    }

    /** Deletes many tasks at once. */
    public BulkDeleted deleteTasks(List<String> taskIds, RequestOption... options) {
        Object body = Map.of("task_ids", taskIds);
        return open().post(Requests.path("tasks", "bulk-delete"), body, options).as(BulkDeleted::new);
    }

    /** Keeps a task from running. */
    public TaskPaused pauseTask(String taskId, RequestOption... options) {
        return open().post(Requests.path("tasks", taskId, "pause"), null, options).as(TaskPaused::new);
    }

    /** Lets a paused task run again. */
    public TaskResumed resumeTask(String taskId, RequestOption... options) {
        return open().post(Requests.path("tasks", taskId, "resume"), null, options).as(TaskResumed::new);
    }

    /** Runs a task now, beside its schedule. */
    public TaskTriggered triggerTask(String taskId, RequestOption... options) {
        return open().post(Requests.path("tasks", taskId, "trigger"), null, options).as(TaskTriggered::new);
    }

    /** Runs a task type of tasks.yaml now, for these users. */
    public TaskTriggered triggerTask(String taskId, List<String> userIds, RequestOption... options) {
        Object body = Map.of("user_ids", userIds);
        return open().post(Requests.path("tasks", taskId, "trigger"), body, options).as(TaskTriggered::new);
    }

    /** Returns the latest executions of a task: {@code limit} at most, of 1 to 100. */
    public ExecutionList getExecutions(String taskId, int limit, RequestOption... options) {
        return getExecutions(taskId, limit, 0, options);
    }

    /** Returns the executions of a task but the latest {@code offset}, the latest first. */
    public ExecutionList getExecutions(String taskId, int limit, int offset, RequestOption... options) {
        Query query = NO_QUERY.with("limit", limit).with("offset", offset);
        return open().get(Requests.path("tasks", taskId, "executions"), query, options).as(ExecutionList::new);
    }

    /** Returns an execution, with its result and its attempts. */
    public ExecutionDetails getExecution(String executionId, RequestOption... options) {
        return open().get(Requests.path("executions", executionId), NO_QUERY, options).as(ExecutionDetails::new);
    }

    /** Returns the log of an execution. */
    public ExecutionLog getExecutionLogs(String executionId, RequestOption... options) {
        return open().get(Requests.path("executions", executionId, "logs"), NO_QUERY, options).as(ExecutionLog::new);
    }

    /** Adds 1 to 100 lines to the log of an execution. */
    public ExecutionLog appendExecutionLogs(String executionId, List<GivenLine> lines, RequestOption... options) {
        Object body = Map.of("logs", lines.stream().map(GivenLine::toMap).toList());
        return open().post(Requests.path("executions", executionId, "logs"), body, options).as(ExecutionLog::new);
    }

    /** Cancels an execution; where its call could not be cut yet, the answer's status is still running. */
    public ExecutionCancelled cancelExecution(String executionId, RequestOption... options) {
        String path = Requests.path("executions", executionId, "cancel");
        return open().post(path, null, options).as(ExecutionCancelled::new);
    }

    /** Makes a task wait, whenever it is due, until another one has ended so. */
    public DependencyAdded addDependency(
            String taskId, String dependsOnTaskId, DependencyType dependencyType, RequestOption... options) {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("depends_on_task_id", dependsOnTaskId);
        body.put("dependency_type", dependencyType.toString());
        return open().post(Requests.path("tasks", taskId, "dependencies"), body, options).as(DependencyAdded::new);
    }

    /** Returns what a task waits for. */
    public DependencyList listDependencies(String taskId, RequestOption... options) {
        return open().get(Requests.path("tasks", taskId, "dependencies"), NO_QUERY, options).as(DependencyList::new);
    }

    /** Makes a task wait for another one no more. */
    public void removeDependency(String taskId, String dependencyId, RequestOption... options) {
        open().delete(Requests.path("tasks", taskId, "dependencies", dependencyId), options);
    }

    /** Returns how the system does. */
    public SystemStatus getStatus(RequestOption... options) {
        return open().get(Requests.path("status"), NO_QUERY, options).as(SystemStatus::new);
    }

    /** Returns how the executions of a task went. */
    public TaskStatistics getTaskStats(String taskId, RequestOption... options) {
        return open().get(Requests.path("tasks", taskId, "stats"), NO_QUERY, options).as(TaskStatistics::new);
    }

    /** Returns the workers. */
    public WorkerList listWorkers(RequestOption... options) {
        return open().get(Requests.path("workers"), NO_QUERY, options).as(WorkerList::new);
    }

    /** Returns who changed what, the latest first; for keys of scope admin. */
    public AuditAnswer getAuditLog(int limit, RequestOption... options) {
        return open().get(Requests.path("audit"), NO_QUERY.with("limit", limit), options).as(AuditAnswer::new);
    }

    /** Returns the page of the audit log before that one: {@link AuditAnswer#getNext}. */
    public AuditAnswer getAuditLog(int limit, String before, RequestOption... options) {
        Query query = NO_QUERY.with("limit", limit).with("before", before);
        return open().get(Requests.path("audit"), query, options).as(AuditAnswer::new);
    }

    /** Tells why a task made through the API did or did not run. */
    public TaskExplanation explainTask(String taskId, RequestOption... options) {
        return explainTask(taskId, null, null, options);
    }

    /**
     * Tells why a task did or did not run for a user.
     *
     * @param userId whose job, of a task type of tasks.yaml; null for a task made through the API
     * @param at of the occurrence at or before this; null for the latest that has come due
     */
    public TaskExplanation explainTask(String taskId, String userId, Instant at, RequestOption... options) {
        Query query = userId == null ? NO_QUERY : NO_QUERY.with("user_id", userId);
        Query whole = at == null ? query : query.with("at", at);
        return open().get(Requests.path("tasks", taskId, "explain"), whole, options).as(TaskExplanation::new);
    }

    /**
     * All tasks of a query, page by page; each loop begins anew. What is made meanwhile does no harm. Where the loop
     * deletes tasks, or changes them so that the query holds no more, others move to pages that it has passed, and it
     * misses them: collect the ids first. After the last task it throws a {@link TaskSchedulerException} where the API
     * looked at a part of them only: {@link TaskPage#isTotalIsExact}.
     */
    public Iterable<TaskRow> iterateTasks(TaskQuery query, RequestOption... options) {
        int limit = query.pageSize();
        return () -> new Pages<>(
            offset -> listTasks(query.limit(limit).offset(offset), options),
            query.firstOffset(), limit, TaskRow::getTaskId);
    }

    /** All executions of a task, the latest first, {@code pageSize} at a time; each loop begins anew. */
    public Iterable<Execution> iterateExecutions(String taskId, int pageSize, RequestOption... options) {
        return () -> new Pages<>(
            offset -> getExecutions(taskId, pageSize, offset, options), 0, pageSize, Execution::getExecutionId);
    }

    /**
     * Returns an execution once it has ended, in whatever way. An API that cannot be reached or is busy (429, 502, 503,
     * 504) is asked again until the time is over.
     *
     * @throws WaitTimeoutException where it has not within {@code timeout}; its cause is the error of
     *     the last look, where that failed
     */
    public ExecutionDetails waitForExecution(String executionId, Duration timeout) {
        return Waiting.untilEnded(executionId, timeout, left -> getExecution(executionId, requests.within(left)));
    }

    /**
     * Refuses all later calls. Java itself ends the connections, of a client that nobody holds any more.
     */
    @Override
    public void close() {
        closed = true;
    }

    /** Without the API key. */
    @Override
    public String toString() {
        return "TaskSchedulerClient[" + transport.baseUrl() + "]";
    }

    private Requests open() {
        if (closed) {
            throw new IllegalStateException("this TaskSchedulerClient was closed; build another one");
        }
        return requests;
    }

    /** Gathers what a client needs: an address and an API key. */
    public static final class Builder {
        private String baseUrl;
        private String apiKey;
        private Duration connectTimeout = Duration.ofSeconds(10);
        private Duration timeout = Duration.ofSeconds(30);

        /** Where the API is, as in {@code https://api.example.com}; with a prefix of its path where it has one. */
        public Builder baseUrl(String baseUrl) {
            this.baseUrl = baseUrl;
            return this;
        }

        /** A token of the API, as {@code taskqueue token create} prints it. */
        public Builder apiKey(String apiKey) {
            this.apiKey = apiKey;
            return this;
        }

        /** How long to try to connect; 10 seconds unless set. */
        public Builder connectTimeout(Duration connectTimeout) {
            this.connectTimeout = RequestOption.checked(connectTimeout, "connectTimeout");
            return this;
        }

        /** How long a call may take, with all its tries; 30 seconds unless set. */
        public Builder timeout(Duration timeout) {
            this.timeout = RequestOption.checked(timeout, "timeout");
            return this;
        }

        /**
         * Makes the client; nothing is sent by that.
         *
         * @throws IllegalArgumentException where the address or the key is none
         */
        public TaskSchedulerClient build() {
            return new TaskSchedulerClient(this);
        }

        /** Without the API key, nor the address, which nobody has looked at yet. */
        @Override
        public String toString() {
            return "TaskSchedulerClient.Builder[timeout=" + timeout + "]";
        }
    }
}
