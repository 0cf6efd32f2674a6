package com.example;

import java.util.Optional;

/** A limit that the job has to pass. */
public final class ExplainedLimit extends Model {
    private final String name;
    private final String inForce;
    private final int waiting;

    ExplainedLimit(Members members) {
        name = members.text("name");
        inForce = members.textOrNull("in_force");
        waiting = members.integer("waiting");
    }

    /** global, task:ID, concurrency:ID, host:HOST or queue:PRIORITY. */
    public String getName() {
        return name;
    }

    /** What it allows, in words; absent where nothing is set. */
    public Optional<String> getInForce() {
        return Optional.ofNullable(inForce);
    }

    /** Jobs that wait in its list now. */
    public int getWaiting() {
        return waiting;
    }
}
