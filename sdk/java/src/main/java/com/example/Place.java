package com.example;

/** Where a job is. A word that this version does not know is kept as it is. */
public final class Place extends OpenEnum {
    public static final Place NOWHERE = new Place("nowhere");
    public static final Place SLOT = new Place("slot");
    public static final Place QUEUE = new Place("queue");
    public static final Place DELAYED = new Place("delayed");
    public static final Place WAITING_LIST = new Place("waiting_list");
    public static final Place WORKER = new Place("worker");
    public static final Place ENDED = new Place("ended");

    private Place(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static Place of(String value) {
        return new Place(value);
    }
}
