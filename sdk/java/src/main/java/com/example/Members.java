package com.example;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * The members of one JSON object of an answer, each read as what it has to be.
 *
 * <p>Every method throws {@link MalformedAnswerException}, with the JSON pointer of the member, where it is missing
 * or something else. {@code …OrNull} takes a null as well, {@code …IfThere} also that it is missing. Members that
 * nobody asks for are ignored: a newer server may send more.
 */
final class Members {
    private final Answer answer;
    private final JsonNode object;
    private final String pointer;

    Members(Answer answer, JsonNode object, String pointer) {
        this.answer = answer;
        this.object = object;
        this.pointer = pointer;
        if (!object.isObject()) {
            throw answer.malformed((pointer.isEmpty() ? "the body" : pointer) + " is no object");
        }
    }

    /** The ETag of the whole answer; null without one. */
    String etag() {
        return answer.header("ETag").orElse(null);
    }

    String text(String name) {
        JsonNode value = required(name);
        check(value.isTextual(), name, "a string");
        return value.textValue();
    }

    String textOrNull(String name) {
        return required(name).isNull() ? null : text(name);
    }

    String textIfThere(String name) {
        return object.has(name) ? textOrNull(name) : null;
    }

    <T extends OpenEnum> T wordOrNull(String name, Function<String, T> word) {
        return required(name).isNull() ? null : word.apply(text(name));
    }

    Instant instant(String name) {
        try {
            return OffsetDateTime.parse(text(name)).toInstant();
        } catch (DateTimeParseException error) {
            throw wrong(name, "an instant as in 2026-01-31T12:00:00Z");
        }
    }

    Instant instantOrNull(String name) {
        return required(name).isNull() ? null : instant(name);
    }

    int integer(String name) {
        JsonNode value = required(name);
        check(value.isIntegralNumber() && value.canConvertToInt(), name, "an integer of 32 bits");
        return value.intValue();
    }

    Integer integerOrNull(String name) {
        return required(name).isNull() ? null : Integer.valueOf(integer(name));
    }

    long count(String name) {
        JsonNode value = required(name);
        check(value.isIntegralNumber() && value.canConvertToLong(), name, "an integer of 64 bits");
        return value.longValue();
    }

    Long countOrNull(String name) {
        return required(name).isNull() ? null : Long.valueOf(count(name));
    }

    Double numberOrNull(String name) {
        JsonNode value = required(name);
        check(value.isNumber() || value.isNull(), name, "a number");
        return value.isNull() ? null : Double.valueOf(value.doubleValue());
    }

    boolean flag(String name) {
        JsonNode value = required(name);
        check(value.isBoolean(), name, "true or false");
        return value.booleanValue();
    }

    Boolean flagOrNull(String name) {
        return required(name).isNull() ? null : Boolean.valueOf(flag(name));
    }

    boolean flagIfThere(String name, boolean otherwise) {
        return object.has(name) ? flag(name) : otherwise;
    }

    /** JSON of the user's, keys and all, as {@link Json#plain} makes it. */
    Object json(String name) {
        JsonNode value = required(name);
        try {
            return Json.plain(value);
        } catch (IllegalArgumentException error) {
            throw wrong(name, "JSON of at most " + Json.DEPTH + " levels");
        }
    }

    /** JSON as of {@link #json} that is an object. */
    @SuppressWarnings("unchecked") // an object is a map of strings to anything: Json.plain
    Map<String, Object> jsonObject(String name) {
        check(required(name).isObject(), name, "an object");
        return (Map<String, Object>) json(name);
    }

    Map<String, Object> jsonObjectOrNull(String name) {
        return required(name).isNull() ? null : jsonObject(name);
    }

    <T> T object(String name, Function<Members, T> model) {
        return model.apply(new Members(answer, required(name), place(name)));
    }

    <T> T objectOrNull(String name, Function<Members, T> model) {
        return required(name).isNull() ? null : object(name, model);
    }

    <T> List<T> list(String name, Function<Members, T> model) {
        JsonNode values = required(name);
        check(values.isArray(), name, "a list");
        List<T> models = new ArrayList<>(values.size());
        for (JsonNode value : values) {
            models.add(model.apply(new Members(answer, value, place(name) + "/" + models.size())));
        }
        return Collections.unmodifiableList(models);
    }

    <T> List<T> listIfThere(String name, Function<Members, T> model) {
        return object.hasNonNull(name) ? list(name, model) : List.of();
    }

    List<String> texts(String name) {
        JsonNode values = required(name);
        check(values.isArray(), name, "a list of strings");
        List<String> texts = new ArrayList<>(values.size());
        for (JsonNode value : values) {
            check(value.isTextual(), name, "a list of strings");
            texts.add(value.textValue());
        }
        return Collections.unmodifiableList(texts);
    }

    List<String> textsIfThere(String name) {
        return object.hasNonNull(name) ? texts(name) : List.of();
    }

    /** An object whose keys are the user's and whose values are strings. */
    Map<String, String> textMap(String name) {
        JsonNode values = required(name);
        check(values.isObject(), name, "an object of strings");
        Map<String, String> texts = new LinkedHashMap<>();
        values.fields().forEachRemaining(entry -> {
            check(entry.getValue().isTextual(), name, "an object of strings");
            texts.put(entry.getKey(), entry.getValue().textValue());
        });
        return Collections.unmodifiableMap(texts);
    }

    private JsonNode required(String name) {
        JsonNode value = object.get(name);
        if (value == null) {
            throw answer.malformed(place(name) + " is missing");
        }
        return value;
    }

    private void check(boolean right, String name, String expected) {
        if (!right) {
            throw wrong(name, expected);
        }
    }

    private MalformedAnswerException wrong(String name, String expected) {
        return answer.malformed(place(name) + " is not " + expected);
    }

    private String place(String name) {
        return pointer + "/" + name;
    }
}
