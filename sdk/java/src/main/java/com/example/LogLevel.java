package com.example;

/** How much a line of a log matters. A word that this version does not know is kept as it is. */
public final class LogLevel extends OpenEnum {
    public static final LogLevel INFO = new LogLevel("INFO");
    public static final LogLevel WARNING = new LogLevel("WARNING");
    public static final LogLevel ERROR = new LogLevel("ERROR");

    private LogLevel(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static LogLevel of(String value) {
        return new LogLevel(value);
    }
}
