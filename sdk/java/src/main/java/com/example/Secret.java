package com.example;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The API key, which shows itself to nobody but the API. */
final class Secret {
    private static final String SHOWN = "[API key]";

    private final String value;

    /** Throws IllegalArgumentException for what cannot stand in a header; it does not say what was given. */
    Secret(String value) {
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException("apiKey is missing; `taskqueue token create` makes one");
        }
        if (!value.chars().allMatch(character -> character > ' ' && character < 0x7f)) {
            throw new IllegalArgumentException(
                "apiKey has a character that no token has; look for a line end, space or quotation mark around it");
        }
        this.value = value;
    }

    /** What the header Authorization says. */
    String authorization() {
        return "Bearer " + value;
    }

    /** The same text, without the key where it stands there; null for null. */
    String hide(String text) {
        return text == null ? null : text.replace(value, SHOWN);
    }

    /** The same plain JSON, without the key in any text of it. */
    Object hideIn(Object json) {
        if (json instanceof Map<?, ?> members) {
            Map<String, Object> hidden = new LinkedHashMap<>();
            members.forEach((name, member) -> hidden.put(hide((String) name), hideIn(member)));
            return hidden;
        }
        if (json instanceof List<?> items) {
            return items.stream().map(this::hideIn).toList();
        }
        return json instanceof String text ? hide(text) : json;
    }

    /** The same error, or null where it or one of its causes tells the key. */
    Throwable unlessTold(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (String.valueOf(cause.getMessage()).contains(value)) {
                return null;
            }
        }
        return error;
    }

    @Override
    public String toString() {
        return SHOWN;
    }
}
