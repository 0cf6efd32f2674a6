package com.example;

/** How far an occurrence has got. A word that this version does not know is kept as it is. */
public final class OccurrenceState extends OpenEnum {
    public static final OccurrenceState UPCOMING = new OccurrenceState("upcoming");
    public static final OccurrenceState UNPLANNED = new OccurrenceState("unplanned");
    public static final OccurrenceState HELD = new OccurrenceState("held");
    public static final OccurrenceState SKIPPED = new OccurrenceState("skipped");
    public static final OccurrenceState PLANNING = new OccurrenceState("planning");
    public static final OccurrenceState OPEN = new OccurrenceState("open");
    public static final OccurrenceState RELEASED = new OccurrenceState("released");

    private OccurrenceState(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static OccurrenceState of(String value) {
        return new OccurrenceState(value);
    }
}
