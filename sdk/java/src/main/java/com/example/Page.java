package com.example;

import java.util.AbstractList;
import java.util.List;

/** A part of a list of the API: an unmodifiable list that knows how long the whole one is. */
public abstract class Page<T> extends AbstractList<T> {
    private final List<T> items;
    private final long total;
    private final int limit;
    private final int offset;

    Page(List<T> items, Members members) {
        this.items = items;
        this.total = members.count("total");
        this.limit = members.integer("limit");
        this.offset = members.integer("offset");
    }

    @Override
    public final T get(int index) {
        return items.get(index);
    }

    @Override
    public final int size() {
        return items.size();
    }

    /** Whether the API looked at all that might belong to the list. */
    boolean isWhole() {
        return true;
    }

    /** How many there are in the whole list. */
    public final long getTotal() {
        return total;
    }

    /** How many this part may have. */
    public final int getLimit() {
        return limit;
    }

    /** How many were left out before these. */
    public final int getOffset() {
        return offset;
    }
}
