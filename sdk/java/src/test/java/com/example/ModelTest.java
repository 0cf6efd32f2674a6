package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class ModelTest {
    private static TaskDetails details(String body) {
        try (BadServer server = new BadServer(BadServer.answer(200, "application/json", body, "ETag: \"7\""))) {
            return Clients.client(server).getTask("t1");
        }
    }

    private static String refusal(String body) {
        return assertThrows(MalformedAnswerException.class, () -> details(body)).getMessage();
    }

    @Test
    void keys_of_the_user_stay_as_they_are_and_numbers_keep_their_value() {
        TaskDetails task = details(Clients.DETAILS);

        BigInteger large = new BigInteger("123456789012345678901234567890");
        List<Object> numbers = Arrays.asList(1, 2147483648L, large, 0.5, 1.5e300, null, true, "");
        assertEquals(Map.of("camelKey", numbers, "snake_key", Map.of()), task.getPayload());
        assertEquals(Map.of("camelKey", "v", "snake_key", "w"), task.getTags());
        assertEquals(Map.of("X-Team", "***"), task.getConfig().getHeaders());
    }

    @Test
    void an_instant_is_in_UTC_whatever_its_offset_was() {
        assertEquals(Instant.parse("2026-01-08T10:00:00Z"), details(Clients.DETAILS).getCreatedAt());
    }

    @Test
    void null_is_an_empty_optional() {
        assertEquals(Optional.empty(), details(Clients.DETAILS).getNextExecutionTime());
        assertEquals(Optional.empty(), details(Clients.DETAILS).getScheduleExpression());
    }

    @Test
    void a_word_that_is_not_known_is_kept() {
        Priority priority = details(Clients.DETAILS).getPriority();

        assertEquals("urgent", priority.toString());
        assertEquals(Priority.of("urgent"), priority);
        assertNotEquals(Priority.HIGH, priority);
    }

    @Test
    void a_word_that_is_known_equals_its_constant() {
        assertEquals(TaskStatus.PAUSED, details(Clients.DETAILS).getStatus());
        assertNotEquals((Object) ExecutionStatus.of("failed"), TaskStatus.FAILED);
    }

    @Test
    void an_interval_has_its_parts() {
        Interval interval = details(Clients.DETAILS).getInterval().orElseThrow();

        assertEquals(Interval.weekly(2).weekday("monday").atTime("08:00"), interval);
        assertEquals(Optional.of("08:00"), interval.getAtTime());
        assertEquals(Optional.empty(), interval.getDay());
    }

    @Test
    void the_version_of_a_task_is_the_ETag_of_its_answer() {
        assertEquals(Optional.of("\"7\""), details(Clients.DETAILS).getEtag());
    }

    @Test
    void models_that_say_the_same_are_equal_and_others_are_not() {
        TaskDetails task = details(Clients.DETAILS);

        assertEquals(task, details(Clients.DETAILS));
        assertEquals(task.hashCode(), details(Clients.DETAILS).hashCode());
        assertNotEquals(task, details(Clients.DETAILS.replace("report", "other")));
        assertTrue(task.toString().startsWith("TaskDetails{taskId=t1, taskName=report"), task.toString());
    }

    @Test
    void what_was_decoded_cannot_be_changed() {
        TaskDetails task = details(Clients.DETAILS);

        assertThrows(UnsupportedOperationException.class, () -> task.getTags().put("a", "b"));
        assertThrows(UnsupportedOperationException.class, () -> ((Map<?, ?>) task.getPayload()).clear());
    }

    @Test
    void a_member_that_is_missing_is_named() {
        String message = refusal(Clients.DETAILS.replace("\"max_retries\": 3,", ""));

        assertTrue(message.contains("/max_retries is missing"), message);
        assertTrue(message.contains("check that baseUrl"), message);
    }

    @Test
    void a_member_of_another_type_is_named() {
        Map<String, String> wrong = Map.of(
            "\"max_retries\": 3", "\"max_retries\": \"3\"",
            "\"enabled\": false", "\"enabled\": 0",
            "\"timezone\": \"UTC\"", "\"timezone\": null",
            "\"retry_count\": 0", "\"retry_count\": 1e99",
            "\"updated_at\": \"2026-01-08T10:00:00Z\"", "\"updated_at\": \"yesterday\"",
            "\"tags\": {\"camelKey\": \"v\"", "\"tags\": {\"camelKey\": 1",
            "\"method\": \"POST\"", "\"method\": []");
        wrong.forEach((right, other) -> {
            assertTrue(Clients.DETAILS.contains(right), right);
            String name = right.substring(1, right.indexOf('"', 1));
            String message = refusal(Clients.DETAILS.replace(right, other));
            assertTrue(message.contains("/" + name + " is not "), message);
        });
    }

    @Test
    void JSON_that_is_too_deep_is_refused() {
        String deep = "[".repeat(100_000) + "]".repeat(100_000);

        assertThrows(MalformedAnswerException.class, () -> details(Clients.DETAILS.replace("{\"x\": 1}", deep)
            .replace("\"snake_key\": {}", "\"snake_key\": " + deep)));
    }

    @Test
    void lists_that_the_API_leaves_out_are_empty() {
        String body = "{\"created\": 1, \"failed\": 0, \"task_ids\": [\"t1\"]}";
        try (BadServer server = new BadServer(BadServer.json(201, body))) {
            BulkCreated created = Clients.client(server).createTasks(List.of(Task.builder().taskName("a").build()));
            assertEquals(List.of(), created.getErrors());
            assertFalse(created.getTaskIds().isEmpty());
        }
    }
}
