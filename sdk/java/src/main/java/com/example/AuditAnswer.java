package com.example;

import java.util.List;
import java.util.Optional;

/** A page of the audit log, the latest change first. */
public final class AuditAnswer extends Model {
    private final List<ChangeAnswer> entries;
    private final String next;

    AuditAnswer(Members members) {
        entries = members.list("entries", ChangeAnswer::new);
        next = members.textOrNull("next");
    }

    /** Requests with a valid token that were no GET, whatever became of them. */
    public List<ChangeAnswer> getEntries() {
        return entries;
    }

    /** For before, to get the entries before these; absent at the end. */
    public Optional<String> getNext() {
        return Optional.ofNullable(next);
    }
}
