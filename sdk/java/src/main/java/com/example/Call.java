package com.example;

import java.time.Duration;
import java.util.Map;

/**
 * A request that is to be made.
 *
 * @param path its path, with the query
 * @param body JSON; null without any
 * @param repeatable whether it may be sent again where nobody knows what became of it
 * @param timeout how long it may take, with all its tries
 */
record Call(
    String method, String path, byte[] body, Map<String, String> headers, boolean repeatable, Duration timeout) {

    /** How errors call it: no query, no body. */
    String name() {
        int query = path.indexOf('?');
        return method + " " + (query < 0 ? path : path.substring(0, query));
    }
}
