package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class IteratorsTest {
    private static final Duration LONG = Duration.ofSeconds(20);

    private static List<String> ids(Iterable<Execution> executions) {
        List<String> ids = new ArrayList<>();
        executions.forEach(execution -> ids.add(execution.getExecutionId()));
        return ids;
    }

    private static String page(int total, int offset, String... ids) {
        return BadServer.json(200, Clients.page(total, offset, ids));
    }

    @Test
    void all_pages_are_walked_through_in_each_loop() {
        try (BadServer server = new BadServer(page(3, 0, "a", "b"), page(3, 2, "c"), page(1, 0, "d"))) {
            Iterable<Execution> executions = Clients.client(server).iterateExecutions("t1", 2);
            assertEquals(List.of("a", "b", "c"), ids(executions));
            assertEquals(List.of("d"), ids(executions));
            assertTrue(server.requests().get(1).startsWith("GET /api/v1/tasks/t1/executions?limit=2&offset=2 "));
        }
    }

    @Test
    void a_list_that_has_become_shorter_ends() {
        try (BadServer server = new BadServer(page(9, 0, "a", "b"), page(9, 2))) {
            assertEquals(List.of("a", "b"), ids(Clients.client(server).iterateExecutions("t1", 2)));
        }
    }

    @Test
    void an_empty_list_has_nothing() {
        try (BadServer server = new BadServer(page(0, 0))) {
            Iterator<Execution> executions = Clients.client(server).iterateExecutions("t1", 2).iterator();
            assertFalse(executions.hasNext());
            assertThrows(NoSuchElementException.class, executions::next);
        }
    }

    @Test
    void a_walk_begins_where_its_query_does() {
        String empty = "{\"tasks\": [], \"total\": 3, \"limit\": 2, \"offset\": 4}";
        try (BadServer server = new BadServer(BadServer.json(200, empty))) {
            assertFalse(Clients.client(server).iterateTasks(TaskQuery.all().offset(4)).iterator().hasNext());
            assertTrue(server.requests().get(0).startsWith("GET /api/v1/tasks?limit=100&offset=4 "));
        }
    }

    @Test
    void an_item_that_a_new_one_has_moved_to_the_next_page_comes_once() {
        try (BadServer server = new BadServer(page(3, 0, "a", "b"), page(4, 2, "b", "c"))) {
            assertEquals(List.of("a", "b", "c"), ids(Clients.client(server).iterateExecutions("t1", 2)));
        }
    }

    @Test
    void the_offset_grows_by_what_was_asked_for_whatever_came() {
        try (BadServer server = new BadServer(page(5, 7, "a"), page(5, 7), page(5, 7, "e"))) {
            assertEquals(List.of("a", "e"), ids(Clients.client(server).iterateExecutions("t1", 2)));
            List<String> offsets = server.requests().stream()
                .map(request -> request.replaceAll("(?s).*offset=(\\d+) .*", "$1")).toList();
            assertEquals(List.of("0", "2", "4"), offsets);
        }
    }

    @Test
    void a_walk_ends_also_where_each_page_is_the_same() {
        try (BadServer server = new BadServer(page(5, 0, "a", "b"))) {
            assertEquals(List.of("a", "b"), ids(Clients.client(server).iterateExecutions("t1", 2)));
        }
    }

    @Test
    void after_the_last_task_it_is_told_that_the_API_looked_at_a_part_only() {
        try (BadServer server = new BadServer(BadServer.json(200, Clients.tasks(2, false, "a", "b")))) {
            Iterator<TaskRow> tasks = Clients.client(server).iterateTasks(TaskQuery.all().limit(2)).iterator();
            assertEquals("a", tasks.next().getTaskId());
            assertEquals("b", tasks.next().getTaskId());
            TaskSchedulerException error = assertThrows(TaskSchedulerException.class, tasks::hasNext);
            assertEquals(TaskSchedulerException.class, error.getClass());
            assertTrue(error.getMessage().contains("latest 10,000 candidates only"), error.getMessage());
            assertTrue(error.getMessage().contains("Use one filter alone"), error.getMessage());
        }
    }

    @Test
    void a_page_size_that_leads_nowhere_is_refused() {
        try (BadServer server = new BadServer(page(1, 0, "a"))) {
            TaskSchedulerClient client = Clients.client(server);
            assertThrows(IllegalArgumentException.class, client.iterateExecutions("t1", 0)::iterator);
            assertThrows(IllegalArgumentException.class, client.iterateTasks(TaskQuery.all().limit(0))::iterator);
        }
    }

    @Test
    void a_page_knows_how_long_the_whole_list_is() {
        try (BadServer server = new BadServer(page(7, 2, "a"))) {
            ExecutionList page = Clients.client(server).getExecutions("t1", 2, 2);
            List<Number> told = List.of(page.getTotal(), page.getLimit(), page.getOffset(), page.size());
            assertEquals(List.of(7L, 2, 2, 1), told);
            assertEquals("a", page.get(0).getExecutionId());
        }
    }

    @Test
    void an_execution_is_waited_for_until_it_has_ended() {
        try (BadServer server = new BadServer(
            BadServer.json(200, Clients.execution("pending")),
            BadServer.json(200, Clients.execution("of_a_newer_server")),
            BadServer.json(200, Clients.execution("failed")))) {
            ExecutionDetails execution = Clients.client(server).waitForExecution("e1", LONG);
            assertEquals(ExecutionStatus.FAILED, execution.getStatus());
            assertEquals(Map.of("rowCount", 1), execution.getResult());
            assertEquals("http_500", execution.getError().orElseThrow().getCode());
        }
    }

    @Test
    void an_execution_that_does_not_end_in_time_is_named_with_its_status() {
        try (BadServer server = new BadServer(BadServer.json(200, Clients.execution("running")))) {
            TaskSchedulerClient client = Clients.client(server);
            client.getExecution("e1");
            WaitTimeoutException error = assertThrows(
                WaitTimeoutException.class, () -> client.waitForExecution("e1", Duration.ofMillis(2_000)));
            assertEquals("e1", error.getExecutionId());
            assertTrue(error.getMessage().contains("is running after 2000 ms"), error.getMessage());
        }
    }

    @Test
    void waiting_ends_in_time_also_where_nobody_answers() {
        try (BadServer server = new BadServer(BadServer.SILENCE)) {
            TaskSchedulerClient client = Clients.client(server);
            assertThrows(WaitTimeoutException.class, () -> client.waitForExecution("e1", Duration.ofMillis(200)));
        }
    }

    @Test
    void an_execution_that_has_completed_has_ended_whatever_a_newer_server_calls_that() {
        String ended = Clients.execution("expired", "\"2026-11-22T10:00:00Z\"");
        try (BadServer server = new BadServer(BadServer.json(200, ended))) {
            assertEquals("expired", Clients.client(server).waitForExecution("e1", LONG).getStatus().toString());
        }
    }

    @Test
    void it_is_waited_on_while_the_API_cannot_be_reached_or_is_busy() {
        String bad = BadServer.problem(502, "x");
        String cut = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{";
        String ended = BadServer.json(200, Clients.execution("success"));
        try (BadServer server = new BadServer(bad, cut, bad, BadServer.SILENCE, cut, cut, cut, ended)) {
            TaskSchedulerClient client = Clients.builder(server).timeout(Duration.ofMillis(900)).build();
            assertEquals(ExecutionStatus.SUCCESS, client.waitForExecution("e1", LONG).getStatus());
            assertTrue(server.requests().size() >= 8);
        }
    }

    @Test
    void a_server_that_asks_for_a_pause_is_not_asked_before_it_is_over() {
        try (BadServer server = new BadServer(BadServer.problem(503, "x", "Retry-After: 31"))) {
            TaskSchedulerClient client = Clients.client(server);
            assertThrows(WaitTimeoutException.class, () -> client.waitForExecution("e1", Duration.ofMillis(500)));
            assertEquals(1, server.requests().size());
        }
    }

    @Test
    void a_wait_that_ends_in_vain_tells_the_error_of_its_last_look() {
        try (BadServer server = new BadServer(
            BadServer.json(200, Clients.execution("running")), BadServer.problem(503, "overloaded"))) {
            TaskSchedulerClient client = Clients.client(server);
            WaitTimeoutException error = assertThrows(
                WaitTimeoutException.class, () -> client.waitForExecution("e1", Duration.ofMillis(2_000)));
            assertEquals(ServiceUnavailableException.class, error.getCause().getClass());
            assertTrue(error.getMessage().matches(".* is running after 2000 ms.* failed: GET .*overloaded.*"),
                error.getMessage());
        }
    }

    @Test
    void an_error_after_which_the_execution_was_seen_is_not_why_a_wait_ended_in_vain() {
        try (BadServer server = new BadServer(
            BadServer.problem(503, "x", "Retry-After: 0"), BadServer.json(200, Clients.execution("running")))) {
            WaitTimeoutException error = assertThrows(WaitTimeoutException.class,
                () -> Clients.client(server).waitForExecution("e1", Duration.ofMillis(1_500)));
            assertNull(error.getCause());
        }
    }

    @Test
    void an_error_ends_the_waiting() {
        try (BadServer server = new BadServer(BadServer.problem(404, "no_such_execution"))) {
            assertThrows(NotFoundException.class, () -> Clients.client(server).waitForExecution("e1", LONG));
        }
    }
}
