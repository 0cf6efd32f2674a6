package com.example;

/** The workers, counted. */
public final class WorkersStatus extends Model {
    private final long total;
    private final long active;
    private final long inactive;
    private final long totalCapacity;
    private final long currentLoad;

    WorkersStatus(Members members) {
        total = members.count("total");
        active = members.count("active");
        inactive = members.count("inactive");
        totalCapacity = members.count("total_capacity");
        currentLoad = members.count("current_load");
    }

    /** How many there are. */
    public long getTotal() {
        return total;
    }

    /** Those that are heard of. */
    public long getActive() {
        return active;
    }

    /** Silent for seven seconds, without a good-bye; forgotten after five minutes. */
    public long getInactive() {
        return inactive;
    }

    /** Jobs that can run at a time on the active ones. */
    public long getTotalCapacity() {
        return totalCapacity;
    }

    /** Jobs that run there. */
    public long getCurrentLoad() {
        return currentLoad;
    }
}
