package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class SecretTest {
    private final Secret secret = new Secret(Clients.KEY);

    @Test
    void a_key_that_cannot_stand_in_a_header_is_refused_without_showing_it() {
        String[] keys = {null, "", "hunter2\n", "hunter2 ", "hunter2\u0000", "hünter2", "hunter2\r\nX: y"};
        for (String key : keys) {
            Exception error = assertThrows(IllegalArgumentException.class, () -> new Secret(key));
            assertFalse(Clients.shown(error).contains("nter2"), error.getMessage());
        }
    }

    @Test
    void it_is_hidden_at_any_depth_of_JSON() {
        Object hidden = secret.hideIn(Map.of("a", List.of("the " + Clients.KEY, 1), Clients.KEY, true));

        assertEquals(Map.of("a", List.of("the [API key]", 1), "[API key]", true), hidden);
    }

    @Test
    void an_error_that_tells_it_in_a_cause_is_dropped() {
        IOException silent = new IOException("reset", new IOException("by peer"));

        assertNull(secret.unlessTold(new IOException("x", new IOException("header " + Clients.KEY))));
        assertSame(silent, secret.unlessTold(silent));
    }

    @Test
    void client_builder_and_secret_show_no_key() {
        TaskSchedulerClient.Builder builder =
            new TaskSchedulerClient.Builder().baseUrl("https://example.com/a").apiKey(Clients.KEY);

        String shown = builder + " " + builder.build() + " " + secret;

        assertFalse(shown.contains(Clients.KEY), shown);
        assertTrue(shown.contains("https://example.com/a"), shown);
    }
}
