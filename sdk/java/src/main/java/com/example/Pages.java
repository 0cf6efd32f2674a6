package com.example;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

/**
 * Walks through a whole list of the API, one page after the other, each asked for when it is needed.
 *
 * <p>The offset grows by what was asked for, whatever came: an item that is new meanwhile moves others to the next
 * page, where they are left out as known; one that goes moves others to a page that has been passed.
 */
final class Pages<T> implements Iterator<T> {
    private final IntFunction<? extends Page<T>> pageAt;
    private final Function<T, String> id;
    private final int limit;
    private long offset;
    private long total;
    private boolean isWhole = true;
    private Set<String> known = Set.of();
    private List<T> items;
    private int next;

    /**
     * Asks for the first page.
     *
     * @param pageAt asks for the page at an offset, which is counted from {@code offset} on
     * @param limit how many items it asks for
     * @param id tells one item from the others
     * @throws IllegalArgumentException where {@code limit} would lead nowhere
     */
    Pages(IntFunction<? extends Page<T>> pageAt, int offset, int limit, Function<T, String> id) {
        if (limit < 1) {
            throw new IllegalArgumentException("a page of " + limit + " items leads nowhere; ask for 1 to 100");
        }
        this.pageAt = pageAt;
        this.offset = offset;
        this.limit = limit;
        this.id = id;
        turn();
    }

    @Override
    public boolean hasNext() {
        while (next == items.size() && offset < total) {
            turn();
        }
        if (next == items.size() && !isWhole) {
            throw new TaskSchedulerException(
                "of these filters together the API looked at the latest 10,000 candidates only; there may be older "
                    + "tasks. Use one filter alone, and check the other ones yourself");
        }
        return next < items.size();
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the list is at its end");
        }
        return items.get(next++);
    }

    private void turn() {
        Page<T> page = pageAt.apply(Math.toIntExact(offset));
        Set<String> before = known;
        items = page.stream().filter(item -> !before.contains(id.apply(item))).toList();
        known = page.stream().map(id).collect(Collectors.toSet());
        total = page.getTotal();
        isWhole &= page.isWhole();
        offset += limit;
        next = 0;
    }
}
