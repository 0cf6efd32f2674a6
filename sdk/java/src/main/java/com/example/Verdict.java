package com.example;

/**
 * The stable words for what became of a user\'s share of an occurrence, and for why nothing did.
 *
 * <p>A word that this version does not know is kept as it is.
 */
public final class Verdict extends OpenEnum {
    public static final Verdict SUCCEEDED = new Verdict("succeeded");
    public static final Verdict FAILED = new Verdict("failed");
    public static final Verdict EXPIRED = new Verdict("expired");
    public static final Verdict CANCELLED = new Verdict("cancelled");
    public static final Verdict SKIPPED_PREFERENCE_OFF = new Verdict("skipped_preference_off");
    public static final Verdict SKIPPED_TASK_DISABLED = new Verdict("skipped_task_disabled");
    public static final Verdict SKIPPED_TASK_REMOVED = new Verdict("skipped_task_removed");
    public static final Verdict RUNNING = new Verdict("running");
    public static final Verdict CANCELLING = new Verdict("cancelling");
    public static final Verdict WORKER_LOST = new Verdict("worker_lost");
    public static final Verdict RETRYING = new Verdict("retrying");
    public static final Verdict HOST_CLOSED = new Verdict("host_closed");
    public static final Verdict WAITS_FOR_LIMIT = new Verdict("waits_for_limit");
    public static final Verdict WAITS_FOR_TIME = new Verdict("waits_for_time");
    public static final Verdict PLANNED = new Verdict("planned");
    public static final Verdict HELD_BACK = new Verdict("held_back");
    public static final Verdict IN_QUEUE = new Verdict("in_queue");
    public static final Verdict PLANNING = new Verdict("planning");
    public static final Verdict NOT_IN_AUDIENCE = new Verdict("not_in_audience");
    public static final Verdict NO_TRACE = new Verdict("no_trace");
    public static final Verdict NOT_DUE_YET = new Verdict("not_due_yet");
    public static final Verdict NOT_PLANNED_YET = new Verdict("not_planned_yet");
    public static final Verdict WAITS_FOR_PREVIOUS = new Verdict("waits_for_previous");
    public static final Verdict OVERLAP_SKIPPED = new Verdict("overlap_skipped");
    public static final Verdict MISSED = new Verdict("missed");
    public static final Verdict TOO_OLD = new Verdict("too_old");
    public static final Verdict RULE_CHANGED = new Verdict("rule_changed");
    public static final Verdict NOT_PLANNED = new Verdict("not_planned");
    public static final Verdict FORGOTTEN = new Verdict("forgotten");
    public static final Verdict TASK_REMOVED = new Verdict("task_removed");
    public static final Verdict TASK_DISABLED = new Verdict("task_disabled");
    public static final Verdict TASK_PAUSED = new Verdict("task_paused");
    public static final Verdict BEFORE_START = new Verdict("before_start");
    public static final Verdict AFTER_END = new Verdict("after_end");
    public static final Verdict NEVER_DUE = new Verdict("never_due");
    public static final Verdict USER_UNKNOWN = new Verdict("user_unknown");
    public static final Verdict USER_OFF = new Verdict("user_off");
    public static final Verdict USER_NOT_ON = new Verdict("user_not_on");
    public static final Verdict DEPENDENCY_OPEN = new Verdict("dependency_open");
    public static final Verdict NEVER_RAN = new Verdict("never_ran");
    public static final Verdict TASK_OVER = new Verdict("task_over");

    private Verdict(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static Verdict of(String value) {
        return new Verdict(value);
    }
}
