package com.example;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;

/** Clients of the servers of these tests, and answers that several tests need. */
final class Clients {
    static final String KEY = "tq_0123456789_the-secret-of-these-tests";

    static final String CREATED = """
        {"task_id": "t1", "task_name": "report", "status": "scheduled",
         "next_execution_time": "2026-01-09T05:00:00.25Z", "created_at": "2026-01-08T10:00:00Z"}""";

    static final String DETAILS = """
        {"task_id": "t1", "task_name": "report", "task_type": "interval", "timezone": "UTC",
         "schedule_expression": null, "next_execution_time": null, "last_execution_time": null,
         "status": "paused", "enabled": false,
         "payload": {"camelKey": [1, 2147483648, 123456789012345678901234567890, 0.5, 1.5e300, null, true, ""],
                     "snake_key": {}},
         "timeout_seconds": 300, "max_retries": 3, "retry_count": 0, "priority": "urgent",
         "created_at": "2026-01-08T12:00:00+02:00", "updated_at": "2026-01-08T10:00:00Z",
         "interval": {"type": "weekly", "value": 2, "weekday": "monday", "at_time": "08:00"},
         "tags": {"camelKey": "v", "snake_key": "w"}, "source": "api", "of_a_newer_server": {"x": 1},
         "config": {"endpoint": "http://e.test", "method": "POST", "headers": {"X-Team": "***"},
                    "max_duration": null}}""";

    private Clients() {
    }

    static TaskSchedulerClient.Builder builder(BadServer server) {
        return new TaskSchedulerClient.Builder().baseUrl(server.url()).apiKey(KEY);
    }

    static TaskSchedulerClient client(BadServer server) {
        return builder(server).build();
    }

    /** All that can be printed of an error. */
    static String shown(Throwable error) {
        StringWriter shown = new StringWriter();
        error.printStackTrace(new PrintWriter(shown, true));
        return shown.toString();
    }

    /** An execution with this status, which has not ended. */
    static String execution(String status) {
        return execution(status, "null");
    }

    /** An execution with this status and, as JSON, this end. */
    static String execution(String status, String completedAt) {
        return """
            {"execution_id": "e1", "task_id": null, "worker_id": null, "started_at": null, "completed_at": %s,
             "duration_ms": null, "status": "%s", "result": {"rowCount": 1}, "retry_number": 0, "is_retry": false,
             "queued_at": null, "error": {"code": "http_500", "message": "m", "retry": true}, "reason": null,
             "next_attempt_at": null, "attempts": []}""".formatted(completedAt, status);
    }

    /** A page of tasks, by their ids. */
    static String tasks(int total, boolean isExact, String... ids) {
        String rows = String.join(",", Arrays.stream(ids).map(id -> """
            {"task_id": "%s", "task_name": "n", "status": "paused", "next_execution_time": null,
             "last_execution_time": null, "task_type": "cron", "schedule_expression": "x", "timezone": "UTC",
             "enabled": false, "priority": "low", "tags": {}, "source": "api", "created_at": "2026-11-22T10:00:00Z",
             "updated_at": "2026-11-22T10:00:00Z"}""".formatted(id)).toList());
        return "{\"tasks\": [" + rows + "], \"total\": " + total + ", \"limit\": 2, \"offset\": 0, \"total_is_exact\": "
            + isExact + "}";
    }

    /** A page of executions, by their ids. */
    static String page(int total, int offset, String... ids) {
        String rows = String.join(",", Arrays.stream(ids).map(id -> """
            {"execution_id": "%s", "task_id": "t1", "worker_id": "w", "started_at": null, "completed_at": null,
             "duration_ms": 7, "status": "success", "retry_number": 0, "queued_at": null}""".formatted(id)).toList());
        return "{\"executions\": [" + rows + "], \"total\": " + total + ", \"limit\": 2, \"offset\": " + offset + "}";
    }
}
