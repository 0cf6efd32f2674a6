package contract;

import com.example.GivenTarget;
import com.example.Interval;
import com.example.Priority;
import com.example.TaskFields;
import com.example.TaskType;
import java.util.LinkedHashMap;
import java.util.Map;

/** Sets the members of a task by the API's names. */
final class TaskMembers {
    private TaskMembers() {
    }

    static void set(TaskFields<?> task, String name, Object value) {
        switch (name) {
            case "task_name" -> task.taskName((String) value);
            case "task_type" -> task.taskType(value == null ? null : TaskType.of((String) value));
            case "schedule_expression" -> task.scheduleExpression((String) value);
            case "next_execution_time" -> task.nextExecutionTime(Operations.instant((String) value));
            case "interval" -> task.interval(Interval.of(json(value)));
            case "timezone" -> task.timezone((String) value);
            case "payload" -> task.payload(value);
            case "timeout_seconds" -> task.timeoutSeconds((Integer) value);
            case "max_retries" -> task.maxRetries((Integer) value);
            case "priority" -> task.priority(value == null ? null : Priority.of((String) value));
            case "tags" -> task.tags(texts(value));
            case "enabled" -> task.enabled((Boolean) value);
            case "config" -> task.config(target(json(value)));
            case "task_type_id" -> task.taskTypeId((String) value);
            default -> throw new IllegalArgumentException("TaskFields has no " + name);
        }
    }

    private static GivenTarget target(Map<String, Object> fields) {
        GivenTarget target = GivenTarget.of((String) fields.get("endpoint"));
        if (fields.get("method") instanceof String method) {
            target = target.method(method);
        }
        if (fields.get("max_duration") instanceof String limit) {
            target = target.maxDuration(limit);
        }
        return fields.containsKey("headers") ? target.headers(texts(fields.get("headers"))) : target;
    }

    private static Map<String, Object> json(Object value) {
        Map<String, Object> members = new LinkedHashMap<>();
        ((Map<?, ?>) value).forEach((name, member) -> members.put((String) name, member));
        return members;
    }

    private static Map<String, String> texts(Object value) {
        Map<String, String> texts = new LinkedHashMap<>();
        ((Map<?, ?>) value).forEach((name, text) -> texts.put((String) name, (String) text));
        return texts;
    }
}
