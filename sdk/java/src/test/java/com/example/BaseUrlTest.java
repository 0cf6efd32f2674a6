package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.DisplayNameGeneration;
import org.junit.jupiter.api.DisplayNameGenerator.ReplaceUnderscores;
import org.junit.jupiter.api.Test;

@DisplayNameGeneration(ReplaceUnderscores.class)
class BaseUrlTest {
    @Test
    void a_prefix_of_the_path_stays_and_slashes_at_its_end_go() {
        assertEquals("https://example.com/scheduler", BaseUrl.checked("https://example.com/scheduler//"));
    }

    @Test
    void what_is_no_address_of_an_API_is_refused_without_the_password_in_it() {
        for (String address : new String[] {null, "", "example.com", "ftp://example.com", "http://",
            "http://a b/hunter2", "https://me:hunter2@example.com", "https://example.com?key=hunter2",
            "https://example.com#hunter2", "http://me:hunter2@task_api", "http://127.0.0.1:65536/hunter2"}) {
            String message =
                assertThrows(IllegalArgumentException.class, () -> BaseUrl.checked(address), address).getMessage();
            assertFalse(message.contains("hunter2"), message);
        }
    }

    private static String refusal(String address) {
        return assertThrows(IllegalArgumentException.class, () -> BaseUrl.checked(address), address).getMessage();
    }

    @Test
    void a_host_with_an_underscore_is_refused_with_the_reason() {
        String message = refusal("http://task_api:8080");
        assertTrue(message.contains("'_' in its host") && message.contains("another name"), message);
        assertTrue(refusal("http://my_user:x@host:port").contains("no http or https URL"));
    }

    @Test
    void a_port_that_none_can_be_is_refused() {
        assertEquals("http://127.0.0.1:65535", BaseUrl.checked("http://127.0.0.1:65535"));
        assertTrue(refusal("http://127.0.0.1:99999").contains("the port 99999"));
    }
}
