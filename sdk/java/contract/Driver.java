package contract;

import com.example.TaskSchedulerClient;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes the calls that come as lines of JSON on stdin, and tells what the SDK made of the answers: sdk/contract. */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();

    private TaskSchedulerClient client = connected(new Arguments(Map.of()));

    private Driver() {
    }

    /** Answers each line until there are no more. */
    public static void main(String[] arguments) throws IOException {
        Driver driver = new Driver();
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            out.println(JSON.writeValueAsString(driver.answer(JSON.readTree(line))));
        }
    }

    private Map<String, Object> answer(JsonNode line) {
        Arguments arguments = new Arguments(JSON.convertValue(line.get("arguments"), Map.class));
        try {
            return called(line.get("call").textValue(), arguments);
        } catch (RuntimeException error) {
            return Map.of("error", Canonical.error(error));
        }
    }

    private Map<String, Object> called(String call, Arguments arguments) {
        switch (call) {
            case "connect" -> {
                client = connected(arguments);
                return Canonical.nothing();
            }
            case "show_client" -> {
                return Canonical.text(client + " " + builder(arguments));
            }
            default -> {
                return Canonical.answer(Operations.call(client, call, arguments));
            }
        }
    }

    private static TaskSchedulerClient connected(Arguments arguments) {
        return builder(arguments).build();
    }

    private static TaskSchedulerClient.Builder builder(Arguments arguments) {
        TaskSchedulerClient.Builder builder = new TaskSchedulerClient.Builder()
            .baseUrl(arguments.text("base_url", System.getenv("TASK_SCHEDULER_URL")))
            .apiKey(arguments.text("api_key", System.getenv("TASK_SCHEDULER_API_KEY")));
        if (arguments.has("timeout_s")) {
            builder.timeout(arguments.seconds("timeout_s"));
        }
        if (arguments.has("connect_timeout_s")) {
            builder.connectTimeout(arguments.seconds("connect_timeout_s"));
        }
        return builder;
    }

    /** The arguments of a call, by the API's names. */
    record Arguments(Map<?, ?> values) {
        boolean has(String name) {
            return values.get(name) != null;
        }

        String text(String name) {
            return (String) values.get(name);
        }

        String text(String name, String otherwise) {
            return has(name) ? text(name) : otherwise;
        }

        int integer(String name, int otherwise) {
            return has(name) ? ((Number) values.get(name)).intValue() : otherwise;
        }

        Duration seconds(String name) {
            return Duration.ofMillis(Math.round(((Number) values.get(name)).doubleValue() * 1_000));
        }

        /** Those that are no part of the path or the headers. */
        Map<String, Object> body(String... others) {
            Map<String, Object> body = new LinkedHashMap<>();
            values.forEach((name, value) -> body.put((String) name, value));
            body.keySet().removeAll(List.of(others));
            return body;
        }
    }
}
