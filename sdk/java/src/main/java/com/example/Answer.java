package com.example;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Function;

/** What came back for {@code request}, as in {@code GET /api/v1/tasks}. */
record Answer(String request, int status, HttpHeaders headers, byte[] body) {
    boolean isSuccess() {
        return status >= 200 && status < 300;
    }

    Optional<String> header(String name) {
        return headers.firstValue(name);
    }

    /** The seconds of Retry-After; null without any. A date is not read: the API sends none. */
    Duration retryAfter() {
        return header("Retry-After")
            .filter(value -> value.matches("[0-9]{1,9}"))
            .map(value -> Duration.ofSeconds(Long.parseLong(value)))
            .orElse(null);
    }

    /** The body as a model. Throws MalformedAnswerException where it is none. */
    <T> T as(Function<Members, T> model) {
        return model.apply(new Members(this, json(), ""));
    }

    MalformedAnswerException malformed(String what) {
        return new MalformedAnswerException(
            request + ": the answer " + status + " cannot be read: " + what
                + "; check that baseUrl leads to the API, and that this SDK is as new as the API");
    }

    private JsonNode json() {
        try {
            return Json.parse(body);
        } catch (JsonProcessingException error) {
            // Its message and its cause would quote the body, in which anything may stand.
            JsonLocation place = error.getLocation();
            throw malformed(place == null ? "too deep" : "no JSON, at byte " + place.getByteOffset());
        } catch (IOException error) {
            throw malformed("no JSON, " + error.getMessage());
        }
    }
}
