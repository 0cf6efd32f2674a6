package com.example;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.IntFunction;

/** Walks through a whole list of the API, one page after the other, each asked for when it is needed. */
final class Pages<T> implements Iterator<T> {
    private final IntFunction<Page<T>> pageAt;
    private Page<T> page;
    private int next;

    /** {@code pageAt} asks for the page at an offset, which is counted from {@code offset} on. */
    Pages(IntFunction<Page<T>> pageAt, int offset) {
        this.pageAt = pageAt;
        this.page = pageAt.apply(offset);
    }

    @Override
    public boolean hasNext() {
        if (next == page.size() && !page.isEmpty()) {
            long end = (long) page.getOffset() + page.size();
            if (end < page.getTotal()) {
                page = pageAt.apply(Math.toIntExact(end));
                next = 0;
            }
        }
        return next < page.size();
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the list is at its end");
        }
        return page.get(next++);
    }
}
