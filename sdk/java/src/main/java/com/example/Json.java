package com.example;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON in and out, strictly, and never with a key renamed. */
final class Json {
    /** Levels of JSON of the user's that are read: deeper ones would end in a StackOverflowError. */
    static final int DEPTH = 1_000;

    private static final JsonMapper MAPPER = JsonMapper.builder()
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
        // NaN would become the string "NaN" without a word; so the API refuses it.
        .disable(JsonWriteFeature.WRITE_NAN_AS_STRINGS)
        .build();

    private Json() {
    }

    /** Throws IOException where {@code body} is not exactly one JSON value. */
    static JsonNode parse(byte[] body) throws IOException {
        JsonNode value = MAPPER.readTree(body);
        if (value.isMissingNode()) {
            throw new IOException("it is empty");
        }
        return value;
    }

    static byte[] write(Object value) {
        try {
            return MAPPER.writeValueAsBytes(value);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException("cannot be written as JSON: " + error.getOriginalMessage(), error);
        }
    }

    /**
     * A copy of {@code value} that later changes to it do not reach.
     *
     * @throws IllegalArgumentException where Jackson cannot write it
     */
    static JsonNode snapshot(String name, Object value) {
        try {
            return MAPPER.valueToTree(value);
        } catch (IllegalArgumentException error) {
            throw new IllegalArgumentException(
                name + " cannot be written as JSON; use maps, lists, strings, numbers, booleans and null", error);
        }
    }

    /**
     * What {@code value} is in plain Java: Map, List, String, Boolean, null; of numbers Double, or where they are whole
     * the first of Integer, Long and BigInteger that holds them.
     *
     * @throws IllegalArgumentException where it is deeper than {@link #DEPTH}
     */
    static Object plain(JsonNode value) {
        return plain(value, 0);
    }

    private static Object plain(JsonNode value, int depth) {
        if (depth > DEPTH) {
            throw new IllegalArgumentException("deeper than " + DEPTH + " levels");
        }
        if (value.isObject()) {
            return map(value, depth);
        }
        if (value.isArray()) {
            List<Object> items = new ArrayList<>(value.size());
            value.forEach(item -> items.add(plain(item, depth + 1)));
            return Collections.unmodifiableList(items);
        }
        if (value.isNumber()) {
            return value.numberValue();
        }
        return value.isBoolean() ? (Object) value.booleanValue() : value.textValue();
    }

    private static Map<String, Object> map(JsonNode value, int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        value.fields().forEachRemaining(entry -> members.put(entry.getKey(), plain(entry.getValue(), depth + 1)));
        return Collections.unmodifiableMap(members);
    }
}
