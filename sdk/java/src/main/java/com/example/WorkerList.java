package com.example;

import java.util.List;

/** The workers. */
public final class WorkerList extends Model {
    private final List<WorkerView> workers;
    private final long total;

    WorkerList(Members members) {
        workers = members.list("workers", WorkerView::new);
        total = members.count("total");
    }

    /** The workers. */
    public List<WorkerView> getWorkers() {
        return workers;
    }

    /** How many there are. */
    public long getTotal() {
        return total;
    }
}
