package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
            assertTrue(server.requests().get(0).startsWith("GET /api/v1/tasks?offset=4 "));
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
    void an_error_ends_the_waiting() {
        try (BadServer server = new BadServer(BadServer.problem(404, "no_such_execution"))) {
            assertThrows(NotFoundException.class, () -> Clients.client(server).waitForExecution("e1", LONG));
        }
    }
}
