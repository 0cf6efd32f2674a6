package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class TransportTest {
    private static final String OK = BadServer.json(200, Clients.DETAILS);
    private static final String CREATED = BadServer.json(201, Clients.CREATED);
    private static final String CUT = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"task_id\":";

    /** What getTask ends in; neither its message nor its causes may tell the key. */
    private static <E extends TaskSchedulerException> E failure(Class<E> type, String... answers) {
        try (BadServer server = new BadServer(answers)) {
            E error = assertThrows(type, () -> Clients.client(server).getTask("t1"));
            assertFalse(Clients.shown(error).contains(Clients.KEY), error.getMessage());
            assertTrue(error.getMessage().startsWith("GET /api/v1/tasks/t1: "), error.getMessage());
            return error;
        }
    }

    /** How often getTask asks. */
    private static int tries(String... answers) {
        try (BadServer server = new BadServer(answers)) {
            Clients.client(server).getTask("t1");
            return server.requests().size();
        }
    }

    @Test
    void each_status_has_its_exception() {
        Map<Integer, Class<? extends ApiException>> classes = Map.ofEntries(
            Map.entry(400, BadRequestException.class),
            Map.entry(401, AuthenticationException.class),
            Map.entry(403, PermissionDeniedException.class),
            Map.entry(404, NotFoundException.class),
            Map.entry(408, ApiException.class),
            Map.entry(409, ConflictException.class),
            Map.entry(412, PreconditionFailedException.class),
            Map.entry(413, PayloadTooLargeException.class),
            Map.entry(422, ValidationException.class),
            Map.entry(429, RateLimitedException.class),
            Map.entry(500, ServerException.class),
            Map.entry(503, ServiceUnavailableException.class));
        classes.forEach((status, type) -> {
            String answer = BadServer.problem(status, "x", "Retry-After: 60");
            assertEquals(type, failure(ApiException.class, answer).getClass());
        });
    }

    @Test
    void a_problem_has_all_its_members() {
        String body = """
            {"title": "Unprocessable Entity", "status": 422, "code": "invalid", "detail": "do this", "request_id": "r1",
             "errors": [{"pointer": "/priority", "detail": "d"}, {"parameter": "limit", "detail": "e"}],
             "cycle": ["a", 1]}""";

        ApiException error = failure(ApiException.class, BadServer.answer(422, "application/problem+json", body));

        assertEquals(
            "GET /api/v1/tasks/t1: 422 Unprocessable Entity (invalid); do this; "
                + "correct the fields that getErrors() names (request r1)", error.getMessage());
        assertEquals(Optional.of("invalid"), error.getCode());
        assertEquals(Optional.of("r1"), error.getRequestId());
        assertEquals("[/priority: d, limit: e]", error.getErrors().toString());
        assertEquals(Map.of("cycle", List.of("a", 1)), error.getExtensions());
        assertEquals(Optional.empty(), error.getRetryAfter());
    }

    @Test
    void the_page_of_a_proxy_is_the_exception_of_its_status_with_a_remedy() {
        ApiException error = failure(ServerException.class, BadServer.answer(502, "text/html", "<h1>Bad Gateway</h1>"));

        assertEquals(Optional.empty(), error.getCode());
        assertTrue(error.getMessage().contains("try again later"), error.getMessage());
    }

    @Test
    void a_redirect_is_not_followed() {
        try (BadServer other = new BadServer(OK)) {
            String redirect = BadServer.answer(307, "text/plain", "", "Location: " + other.url() + "/api/v1/tasks/t1");
            ApiException error = failure(ApiException.class, redirect);
            assertEquals(307, error.getStatus());
            assertTrue(error.getMessage().contains("baseUrl"), error.getMessage());
            assertEquals(List.of(), other.requests());
        }
    }

    @Test
    void a_key_that_the_server_repeats_is_hidden() {
        String body = """
            {"code": "x", "detail": "not KEY", "KEY": ["KEY"], "errors": [{"pointer": "/KEY", "detail": "KEY"}]}"""
            .replace("KEY", Clients.KEY);

        ApiException error = failure(ApiException.class, BadServer.answer(400, "application/json", body));

        assertEquals(Optional.of("not [API key]"), error.getDetail());
        assertEquals("[/[API key]: [API key]]", error.getErrors().toString());
        assertEquals(Map.of("[API key]", List.of("[API key]")), error.getExtensions());
    }

    @Test
    void answers_that_are_not_what_the_API_answers_are_malformed() {
        for (String body : new String[] {"", "{", "<html>" + Clients.KEY, Clients.KEY, "[]", "null", "\"x\"", "{} {}",
            "{\"task_id\": 1, \"task_id\": 2}", "\u0000"}) {
            String message = failure(MalformedAnswerException.class, BadServer.json(200, body)).getMessage();
            assertTrue(message.contains("check that baseUrl"), message);
        }
    }

    @Test
    void what_does_not_speak_HTTP_is_named() {
        for (String answer : new String[] {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 " + Clients.KEY + " no\r\n\r\n"}) {
            String message = failure(TaskSchedulerException.class, answer).getMessage();
            assertTrue(message.contains("check baseUrl"), message);
        }
    }

    @Test
    void an_answer_that_is_too_large_is_given_up() {
        String head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        String answer = head + "x".repeat(Transport.LARGEST_ANSWER + 1);

        String message = failure(MalformedAnswerException.class, answer).getMessage();

        assertTrue(message.contains("larger than 67108864 bytes"), message);
    }

    @Test
    void a_server_that_is_not_there_is_named_after_three_tries() throws IOException {
        // Bound, so that no other server gets its port, and nothing listens.
        try (Socket socket = new Socket()) {
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            TaskSchedulerClient client = new TaskSchedulerClient.Builder()
                .baseUrl("http://127.0.0.1:" + socket.getLocalPort()).apiKey(Clients.KEY).build();

            ConnectException error = assertThrows(ConnectException.class, () -> client.getTask("t1"));

            assertTrue(error.getMessage().contains("check baseUrl"), error.getMessage());
            assertFalse(Clients.shown(error).contains(Clients.KEY), error.getMessage());
        }
    }

    @Test
    void a_host_that_nobody_knows_is_a_failed_connection() {
        TaskSchedulerClient client =
            new TaskSchedulerClient.Builder().baseUrl("http://no-such-host.invalid").apiKey(Clients.KEY).build();

        assertThrows(ConnectException.class, () -> client.updateTask("t1", UpdateTask.builder().build()));
    }

    @Test
    void a_connection_that_is_cut_is_tried_again() {
        assertEquals(3, tries(CUT, "", OK));
    }

    @Test
    void a_connection_that_is_always_cut_is_an_error() {
        failure(ConnectException.class, CUT);
    }

    @Test
    void a_server_that_is_busy_is_asked_three_times_at_most() {
        assertEquals(2, tries(BadServer.problem(503, "x", "Retry-After: 0"), OK));
        assertEquals(3, tries(BadServer.problem(429, "x"), BadServer.answer(504, "text/html", ""), OK));
        failure(ServiceUnavailableException.class,
            BadServer.problem(503, "x"), BadServer.problem(502, "x"), BadServer.problem(503, "x"), OK);
    }

    @Test
    void a_server_that_wants_a_longer_pause_than_we_wait_is_not_asked_again() {
        String busy = BadServer.problem(429, "x", "Retry-After: 31");

        RateLimitedException error = failure(RateLimitedException.class, busy, OK);

        assertEquals(Optional.of(Duration.ofSeconds(31)), error.getRetryAfter());
    }

    @Test
    void an_error_that_stays_is_not_tried_again() {
        failure(ServerException.class, BadServer.problem(500, "x"), OK);
        failure(NotFoundException.class, BadServer.problem(404, "x"), OK);
    }

    @Test
    void the_tries_of_a_POST_have_one_key_that_no_other_call_has() {
        try (BadServer server = new BadServer(CUT, BadServer.problem(409, "idempotency_key_in_use"), CREATED)) {
            TaskSchedulerClient client = Clients.client(server);
            client.createTask(Task.builder().build());
            client.createTask(Task.builder().build());
            List<String> keys = server.requests().stream()
                .map(request -> request.replaceAll("(?s).*Idempotency-Key: (\\S+).*", "$1")).toList();
            assertEquals(4, keys.size());
            assertEquals(1, keys.subList(0, 3).stream().distinct().count());
            assertEquals(2, keys.stream().distinct().count());
        }
    }

    @Test
    void a_PATCH_is_sent_once() {
        try (BadServer server = new BadServer(BadServer.problem(503, "x"), OK)) {
            UpdateTask changes = UpdateTask.builder().enabled(true).build();
            assertThrows(ServiceUnavailableException.class, () -> Clients.client(server).updateTask(
                "t1", changes, RequestOption.ifMatch("\"7\"")));
            assertEquals(1, server.requests().size());
            assertTrue(server.requests().get(0).contains("If-Match: \"7\"\r\n"));
        }
    }

    @Test
    void a_DELETE_is_sent_once() {
        try (BadServer server = new BadServer(CUT, OK)) {
            assertThrows(ConnectException.class, () -> Clients.client(server).deleteTask("t1"));
            assertEquals(1, server.requests().size());
        }
    }

    @Test
    void a_call_ends_with_its_time_out_also_between_the_bytes_of_a_body() {
        for (String answer : new String[] {BadServer.SILENCE, BadServer.PAUSE + CUT}) {
            try (BadServer server = new BadServer(answer)) {
                TaskSchedulerClient client = Clients.builder(server).timeout(Duration.ofMillis(500)).build();
                RequestTimeoutException error = assertThrows(RequestTimeoutException.class, () -> client.getTask("t1"));
                assertTrue(error.getMessage().contains("within 500 ms"), error.getMessage());
                assertTrue(server.requests().size() <= 1);
            }
        }
    }

    @Test
    void one_call_may_have_a_time_out_of_its_own() {
        try (BadServer server = new BadServer(BadServer.SILENCE)) {
            RequestOption option = RequestOption.timeout(Duration.ofMillis(100));
            assertThrows(RequestTimeoutException.class, () -> Clients.client(server).getTask("t1", option));
        }
    }

    @Test
    void an_interrupted_thread_stops_waiting_and_stays_interrupted() throws InterruptedException {
        try (BadServer server = new BadServer(BadServer.SILENCE)) {
            Thread waiting = Thread.currentThread();
            Thread interrupter = new Thread(() -> {
                try {
                    server.awaitRequest();
                } catch (InterruptedException error) {
                    throw new AssertionError(error);
                }
                waiting.interrupt();
            });
            interrupter.start();
            assertThrows(InterruptedCallException.class, () -> Clients.client(server).getTask("t1"));
            assertTrue(Thread.interrupted());
            interrupter.join();
        }
    }

    @Test
    void an_answer_without_a_body_is_enough_where_none_is_expected() {
        try (BadServer server = new BadServer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")) {
            Clients.client(server).removeDependency("t1", "d/1");
            assertTrue(server.requests().get(0).startsWith("DELETE /api/v1/tasks/t1/dependencies/d%2F1 "));
        }
    }
}
