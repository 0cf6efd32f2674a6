package com.example;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Every so many hours, days, weeks or months: {@code Interval.daily(1).atTime("08:00")}.
 *
 * <p>Immutable; each method returns another one. Whether the parts go together, the API says. It is also what an
 * answer has: parts that were not given and have no default are empty.
 */
public final class Interval {
    private final Map<String, Object> members;

    private Interval(Map<String, Object> members) {
        this.members = members;
    }

    static Interval orNull(Map<String, Object> parts) {
        return parts == null ? null : of(parts);
    }

    /**
     * One with these parts, in the words of the API.
     *
     * @throws IllegalArgumentException where Jackson cannot write them
     */
    public static Interval of(Map<String, ?> parts) {
        Map<String, Object> members = new LinkedHashMap<>();
        parts.forEach((name, part) -> members.put(name, Json.plain(Json.snapshot("interval", part))));
        return new Interval(members);
    }

    /** Every {@code value} hours, of 1 to 8760. */
    public static Interval hourly(int value) {
        return of(Map.of("type", "hourly")).with("value", value);
    }

    /** Every {@code value} days, of 1 to 3650. */
    public static Interval daily(int value) {
        return of(Map.of("type", "daily")).with("value", value);
    }

    /** Every {@code value} weeks, of 1 to 520. */
    public static Interval weekly(int value) {
        return of(Map.of("type", "weekly")).with("value", value);
    }

    /** Every {@code value} months, of 1 to 120. */
    public static Interval monthly(int value) {
        return of(Map.of("type", "monthly")).with("value", value);
    }

    /** Of daily, weekly and monthly: the time of day, {@code HH:MM} or {@code HH:MM:SS}. */
    public Interval atTime(String time) {
        return with("at_time", time);
    }

    /** Of weekly: the day, {@code monday} to {@code sunday}. */
    public Interval weekday(String weekday) {
        return with("weekday", weekday);
    }

    /** Of monthly: the day, 1 to 31. */
    public Interval day(int day) {
        return with("day", day);
    }

    /** Of monthly: the last day. */
    public Interval lastDay() {
        return with("day", "last");
    }

    /** IANA name of the zone whose wall clock counts; best given to the task. */
    public Interval timezone(String timezone) {
        return with("timezone", timezone);
    }

    /**
     * What becomes of a time that the clock skips ({@code run_after} or {@code skip}), and of one that it has twice
     * ({@code first}, {@code second} or {@code both}).
     */
    public Interval dst(String gap, String fold) {
        return with("dst", Map.of("gap", gap, "fold", fold));
    }

    /** hourly, daily, weekly or monthly. */
    public String getType() {
        return text("type").orElse("");
    }

    /** How many hours, days, weeks or months lie between two times. */
    public Optional<Integer> getValue() {
        return members.get("value") instanceof Integer value ? Optional.of(value) : Optional.empty();
    }

    /** The time of day. */
    public Optional<String> getAtTime() {
        return text("at_time");
    }

    /** The day of a weekly one. */
    public Optional<String> getWeekday() {
        return text("weekday");
    }

    /** The day of a monthly one: 1 to 31, or last. */
    public Optional<String> getDay() {
        return Optional.ofNullable(members.get("day")).map(Object::toString);
    }

    /** IANA name of the zone whose wall clock counts. */
    public Optional<String> getTimezone() {
        return text("timezone");
    }

    /** All parts, in the words of the API; unmodifiable. */
    public Map<String, Object> toMap() {
        return Collections.unmodifiableMap(members);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Interval interval && members.equals(interval.members);
    }

    @Override
    public int hashCode() {
        return members.hashCode();
    }

    @Override
    public String toString() {
        return "Interval" + members;
    }

    private Interval with(String name, Object part) {
        Map<String, Object> more = new LinkedHashMap<>(members);
        more.put(name, part);
        return of(more);
    }

    private Optional<String> text(String name) {
        return members.get(name) instanceof String text ? Optional.of(text) : Optional.empty();
    }
}
