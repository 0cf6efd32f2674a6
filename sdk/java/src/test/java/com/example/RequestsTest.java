package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class RequestsTest {
    private static String sent(CreateTask task, RequestOption... options) {
        try (BadServer server = new BadServer(BadServer.json(201, Clients.CREATED))) {
            Clients.client(server).createTask(task, options);
            return server.requests().get(0);
        }
    }

    private static String body(CreateTask task) {
        return sent(task).split("\r\n\r\n", 2)[1];
    }

    @Test
    void every_character_of_an_id_arrives() {
        assertEquals("/api/v1/tasks/a%2Fb%3Fc%23d%25%20%C3%BC-._~", Requests.path("tasks", "a/b?c#d% ü-._~"));
    }

    @Test
    void an_id_that_would_lead_elsewhere_is_refused() {
        for (String id : new String[] {null, "", ".", ".."}) {
            assertThrows(IllegalArgumentException.class, () -> Requests.path("tasks", id));
        }
    }

    @Test
    void a_request_has_the_key_and_says_who_sends_it() {
        String request = sent(Task.builder().taskName("report").build());

        assertTrue(request.startsWith("POST /api/v1/tasks HTTP/1.1\r\n"), request);
        assertTrue(request.contains("Authorization: Bearer " + Clients.KEY + "\r\n"), request);
        String agent = "task-scheduler-sdk-java/" + TaskSchedulerClient.VERSION;
        assertTrue(request.contains("User-Agent: " + agent + "\r\n"), request);
        assertFalse(request.contains("Upgrade"), request);
    }

    @Test
    void the_fields_of_a_task_have_the_names_of_the_API_and_the_payload_its_own() {
        Map<String, Object> payload = new LinkedHashMap<>();
        payload.put("camelKey", List.of(1, 0.5));
        payload.put("snake_key", null);

        String body = body(Task.builder()
            .taskName("report")
            .taskType(TaskType.ONE_TIME)
            .nextExecutionTime(Instant.parse("2026-01-08T10:00:00.25Z"))
            .payload(payload)
            .maxRetries(0)
            .tags(Map.of("ownKey", "v"))
            .config(GivenTarget.of("http://e.test").headers(Map.of("X-Own", "h")))
            .build());

        assertEquals("{\"task_name\":\"report\",\"task_type\":\"one_time\","
            + "\"next_execution_time\":\"2026-01-08T10:00:00.250Z\","
            + "\"payload\":{\"camelKey\":[1,0.5],\"snake_key\":null},\"max_retries\":0,\"tags\":{\"ownKey\":\"v\"},"
            + "\"config\":{\"endpoint\":\"http://e.test\",\"headers\":{\"X-Own\":\"h\"}}}", body);
    }

    @Test
    void what_is_null_is_sent_for_the_API_to_judge() {
        assertEquals("{\"timezone\":null,\"payload\":null}", body(Task.builder().timezone(null).payload(null).build()));
    }

    @Test
    void a_payload_is_as_it_was_when_it_was_given() {
        Map<String, Object> payload = new LinkedHashMap<>(Map.of("a", 1));
        CreateTask task = Task.builder().payload(payload).build();

        payload.put("b", 2);

        assertEquals("{\"payload\":{\"a\":1}}", body(task));
    }

    @Test
    void a_payload_that_is_no_JSON_is_refused() {
        String message = assertThrows(
            IllegalArgumentException.class, () -> Task.builder().payload(Map.of("x", new Object()))).getMessage();

        assertTrue(message.startsWith("payload cannot be written as JSON"), message);
    }

    @Test
    void requests_do_not_show_what_may_be_secret() {
        GivenTarget target = GivenTarget.of("http://e.test").headers(Map.of("Authorization", "hunter2"));
        CreateTask task = Task.builder().config(target).payload(Map.of("password", "hunter2")).build();

        assertEquals("CreateTask[config, payload] GivenTarget[http://e.test]", task + " " + target);
    }

    @Test
    void the_idempotency_key_of_the_caller_takes_the_place_of_ours() {
        String request = sent(Task.builder().build(), RequestOption.idempotencyKey("of-today"));

        assertTrue(request.contains("Idempotency-Key: of-today\r\n"), request);
    }

    @Test
    void an_option_that_a_call_has_no_use_for_is_refused() {
        try (BadServer server = new BadServer(BadServer.json(200, Clients.DETAILS))) {
            TaskSchedulerClient client = Clients.client(server);
            assertThrows(IllegalArgumentException.class, () -> client.getTask("t1", RequestOption.ifMatch("\"1\"")));
            assertThrows(
                IllegalArgumentException.class, () -> client.getTask("t1", RequestOption.idempotencyKey("k")));
            assertEquals(List.of(), server.requests());
        }
    }

    @Test
    void options_that_no_header_or_clock_can_hold_are_refused() {
        for (String value : new String[] {null, "", "a b", "a\r\nX: y", "x".repeat(256)}) {
            assertThrows(IllegalArgumentException.class, () -> RequestOption.idempotencyKey(value));
            assertThrows(IllegalArgumentException.class, () -> RequestOption.ifMatch(value));
        }
        for (Duration timeout : List.of(Duration.ZERO, Duration.ofSeconds(-1), Duration.ofDays(400_000_000))) {
            assertThrows(IllegalArgumentException.class, () -> RequestOption.timeout(timeout));
        }
    }

    @Test
    void the_filters_of_a_query_stand_in_the_address() {
        TaskQuery query = TaskQuery.all().status(TaskStatus.PAUSED).status(TaskStatus.FAILED);

        String address = query.tag("team", "a&b").tag("x", "ü").limit(5).query().toString();

        assertEquals("status=failed&tag=team%3Aa%26b&tag=x%3A%C3%BC&limit=5", address);
    }

    @Test
    void a_client_that_was_closed_sends_nothing() {
        try (BadServer server = new BadServer(BadServer.json(200, Clients.DETAILS))) {
            TaskSchedulerClient client = Clients.client(server);
            client.close();
            assertThrows(IllegalStateException.class, () -> client.getTask("t1"));
            assertEquals(List.of(), server.requests());
        }
    }
}
