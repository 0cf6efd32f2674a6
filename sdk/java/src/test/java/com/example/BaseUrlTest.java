package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

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
            "https://example.com#hunter2"}) {
            String message =
                assertThrows(IllegalArgumentException.class, () -> BaseUrl.checked(address), address).getMessage();
            assertFalse(message.contains("hunter2"), message);
        }
    }
}
