package com.example;

import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;

/** Something that the API has answered: immutable, and equal to another one of its class that says the same. */
public abstract class Model {
    private static final ClassValue<List<Field>> FIELDS = new ClassValue<>() {
        @Override
        protected List<Field> computeValue(Class<?> model) {
            Field[] fields = Arrays.stream(model.getDeclaredFields())
                .filter(field -> !Modifier.isStatic(field.getModifiers()))
                .toArray(Field[]::new);
            AccessibleObject.setAccessible(fields, true);
            return List.of(fields);
        }
    };

    Model() {
    }

    @Override
    public final boolean equals(Object other) {
        return other != null && getClass() == other.getClass()
            && FIELDS.get(getClass()).stream().allMatch(field -> Objects.equals(of(this, field), of(other, field)));
    }

    @Override
    public final int hashCode() {
        return Objects.hash(FIELDS.get(getClass()).stream().map(field -> of(this, field)).toArray());
    }

    @Override
    public final String toString() {
        return FIELDS.get(getClass()).stream()
            .map(field -> field.getName() + "=" + of(this, field))
            .collect(Collectors.joining(", ", getClass().getSimpleName() + "{", "}"));
    }

    private static Object of(Object model, Field field) {
        try {
            return field.get(model);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(field + " was made accessible before", error);
        }
    }
}
