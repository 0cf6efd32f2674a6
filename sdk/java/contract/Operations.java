package contract;

import com.example.CreateTask;
import com.example.DependencyType;
import com.example.GivenLine;
import com.example.LogLevel;
import com.example.Priority;
import com.example.RequestOption;
import com.example.Task;
import com.example.TaskQuery;
import com.example.TaskSchedulerClient;
import com.example.TaskStatus;
import com.example.TaskType;
import com.example.UpdateTask;
import contract.Driver.Arguments;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;

/** What each call of the contract is in this SDK. */
final class Operations {
    private static final Map<String, BiFunction<TaskSchedulerClient, Arguments, Object>> CALLS = new HashMap<>();

    static {
        tasks();
        executions();
        dependencies();
        system();
    }

    private Operations() {
    }

    private static void tasks() {
        CALLS.put("create_task", (client, given) -> client.createTask(
            task(given.body("idempotency_key")), options(given)));
        CALLS.put("create_tasks", (client, given) -> client.createTasks(
            maps(given, "tasks").stream().map(Operations::task).toList(), options(given)));
        CALLS.put("get_task", (client, given) -> client.getTask(task(given)));
        CALLS.put("list_tasks", (client, given) -> client.listTasks(query(given)));
        CALLS.put("update_task", (client, given) -> client.updateTask(
            task(given), changes(given.body("task_id", "if_match")), options(given)));
        CALLS.put("delete_task", (client, given) -> nothing(() -> client.deleteTask(task(given))));
        CALLS.put("delete_tasks", (client, given) -> client.deleteTasks(texts(given, "task_ids"), options(given)));
        CALLS.put("pause_task", (client, given) -> client.pauseTask(task(given), options(given)));
        CALLS.put("resume_task", (client, given) -> client.resumeTask(task(given), options(given)));
        CALLS.put("trigger_task", (client, given) -> given.has("user_ids")
            ? client.triggerTask(task(given), texts(given, "user_ids"), options(given))
            : client.triggerTask(task(given), options(given)));
        CALLS.put("get_task_stats", (client, given) -> client.getTaskStats(task(given)));
        CALLS.put("explain_task", (client, given) -> client.explainTask(
            task(given), given.text("user_id"), given.has("at") ? instant(given.text("at")) : null));
        CALLS.put("iterate_tasks", (client, given) -> all(client.iterateTasks(query(given))));
    }

    private static void dependencies() {
        CALLS.put("add_dependency", (client, given) -> client.addDependency(
            task(given),
            given.text("depends_on_task_id"),
            DependencyType.of(given.text("dependency_type", "success")),
            options(given)));
        CALLS.put("list_dependencies", (client, given) -> client.listDependencies(task(given)));
        CALLS.put("remove_dependency", (client, given) -> nothing(
            () -> client.removeDependency(task(given), given.text("dependency_id"))));
    }

    private static void system() {
        CALLS.put("get_status", (client, given) -> client.getStatus());
        CALLS.put("list_workers", (client, given) -> client.listWorkers());
        CALLS.put("get_audit_log", (client, given) -> given.has("before")
            ? client.getAuditLog(given.integer("limit", 20), given.text("before"))
            : client.getAuditLog(given.integer("limit", 20)));
    }

    private static void executions() {
        CALLS.put("list_executions", (client, given) -> client.getExecutions(
            task(given), given.integer("limit", 20), given.integer("offset", 0)));
        CALLS.put("get_execution", (client, given) -> client.getExecution(execution(given)));
        CALLS.put("get_execution_logs", (client, given) -> client.getExecutionLogs(execution(given)));
        CALLS.put("append_execution_logs", (client, given) -> client.appendExecutionLogs(
            execution(given), maps(given, "logs").stream().map(Operations::line).toList(), options(given)));
        CALLS.put("cancel_execution", (client, given) -> client.cancelExecution(execution(given), options(given)));
        CALLS.put("wait_for_execution", (client, given) -> client.waitForExecution(
            execution(given), given.seconds("timeout_s")));
        CALLS.put("iterate_executions", (client, given) -> all(
            client.iterateExecutions(task(given), given.integer("page_size", 20))));
    }

    /** Makes the call; null where it returns nothing. */
    static Object call(TaskSchedulerClient client, String name, Arguments given) {
        BiFunction<TaskSchedulerClient, Arguments, Object> call = CALLS.get(name);
        if (call == null) {
            throw new IllegalArgumentException("the driver knows no " + name + "; add it to " + Operations.class);
        }
        return call.apply(client, given);
    }

    private static String task(Arguments given) {
        return given.text("task_id");
    }

    private static String execution(Arguments given) {
        return given.text("execution_id");
    }

    private static Object nothing(Runnable call) {
        call.run();
        return null;
    }

    private static <T> List<T> all(Iterable<T> items) {
        List<T> all = new ArrayList<>();
        items.forEach(all::add);
        return all;
    }

    private static RequestOption[] options(Arguments given) {
        List<RequestOption> options = new ArrayList<>();
        if (given.has("idempotency_key")) {
            options.add(RequestOption.idempotencyKey(given.text("idempotency_key")));
        }
        if (given.has("if_match")) {
            options.add(RequestOption.ifMatch(given.text("if_match")));
        }
        return options.toArray(RequestOption[]::new);
    }

    private static CreateTask task(Map<?, ?> fields) {
        CreateTask.Builder task = Task.builder();
        fields.forEach((name, value) -> TaskMembers.set(task, (String) name, value));
        return task.build();
    }

    private static UpdateTask changes(Map<?, ?> fields) {
        UpdateTask.Builder changes = UpdateTask.builder();
        fields.forEach((name, value) -> TaskMembers.set(changes, (String) name, value));
        return changes.build();
    }

    private static TaskQuery query(Arguments given) {
        TaskQuery query = TaskQuery.all();
        for (Map.Entry<String, Object> filter : given.body().entrySet()) {
            query = with(query, filter.getKey(), filter.getValue());
        }
        return query;
    }

    private static TaskQuery with(TaskQuery query, String name, Object value) {
        return switch (name) {
            case "status" -> query.status(TaskStatus.of((String) value));
            case "priority" -> query.priority(Priority.of((String) value));
            case "task_type" -> query.taskType(TaskType.of((String) value));
            case "name" -> query.name((String) value);
            case "limit", "page_size" -> query.limit((Integer) value);
            case "offset" -> query.offset((Integer) value);
            case "tag" -> tags(query, value instanceof List<?> tags ? tags : List.of(value));
            default -> throw new IllegalArgumentException("TaskQuery has no " + name);
        };
    }

    private static TaskQuery tags(TaskQuery query, List<?> tags) {
        TaskQuery tagged = query;
        for (Object tag : tags) {
            String[] parts = ((String) tag).split(":", 2);
            tagged = tagged.tag(parts[0], parts[1]);
        }
        return tagged;
    }

    private static GivenLine line(Map<?, ?> fields) {
        GivenLine line = GivenLine.of((String) fields.get("message"));
        if (fields.get("timestamp") instanceof String timestamp) {
            line = line.timestamp(instant(timestamp));
        }
        return fields.get("level") instanceof String level ? line.level(LogLevel.of(level)) : line;
    }

    private static List<Map<?, ?>> maps(Arguments given, String name) {
        List<Map<?, ?>> maps = new ArrayList<>();
        ((List<?>) given.values().get(name)).forEach(item -> maps.add((Map<?, ?>) item));
        return maps;
    }

    private static List<String> texts(Arguments given, String name) {
        return ((List<?>) given.values().get(name)).stream().map(String.class::cast).toList();
    }

    static Instant instant(String text) {
        return OffsetDateTime.parse(text).toInstant();
    }
}
