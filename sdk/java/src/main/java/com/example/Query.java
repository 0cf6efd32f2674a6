package com.example;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The parameters behind the question mark of an address. Immutable. */
record Query(List<Query.Parameter> parameters) {
    record Parameter(String name, String value) {
    }

    Query() {
        this(List.of());
    }

    /** With this parameter, in the place of an earlier one. */
    Query with(String name, Object value) {
        Objects.requireNonNull(value, name);
        List<Parameter> others = parameters.stream().filter(parameter -> !parameter.name().equals(name)).toList();
        return new Query(others).and(name, value);
    }

    /** With this parameter as well. */
    Query and(String name, Object value) {
        Stream<Parameter> one = Stream.of(new Parameter(name, value.toString()));
        return new Query(Stream.concat(parameters.stream(), one).toList());
    }

    /** The value of a parameter that is a number; {@code other} without it. */
    int number(String name, int other) {
        return parameters.stream()
            .filter(parameter -> parameter.name().equals(name))
            .mapToInt(parameter -> Integer.parseInt(parameter.value()))
            .findFirst()
            .orElse(other);
    }

    /** As it stands in an address, without the question mark. */
    @Override
    public String toString() {
        return parameters.stream()
            .map(parameter -> parameter.name() + "=" + URLEncoder.encode(parameter.value(), StandardCharsets.UTF_8))
            .collect(Collectors.joining("&"));
    }
}
