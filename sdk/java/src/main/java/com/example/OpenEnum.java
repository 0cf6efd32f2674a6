package com.example;

import java.util.Objects;

/**
 * One of a set of words that may grow: a newer server may answer with one that this version has no constant for.
 *
 * <p>Such a word is kept as it is, where an {@code enum} would have to refuse or forget it. Compare with
 * {@code equals}, or {@code switch} over {@link #toString()}.
 */
public abstract class OpenEnum {
    private final String value;

    OpenEnum(String value) {
        this.value = Objects.requireNonNull(value, "the word");
    }

    @Override
    public final boolean equals(Object other) {
        return other != null && getClass() == other.getClass() && value.equals(((OpenEnum) other).value);
    }

    @Override
    public final int hashCode() {
        return value.hashCode();
    }

    /** The word, as the API writes it. */
    @Override
    public final String toString() {
        return value;
    }
}
