package com.example;

/** Why a job was put aside. A word that this version does not know is kept as it is. */
public final class WaitReason extends OpenEnum {
    public static final WaitReason RETRY = new WaitReason("retry");
    public static final WaitReason LIMIT = new WaitReason("limit");
    public static final WaitReason HOST = new WaitReason("host");
    public static final WaitReason EARLY = new WaitReason("early");
    public static final WaitReason CLAIMED = new WaitReason("claimed");

    private WaitReason(String value) {
        super(value);
    }

    /** The one with this word of the API. */
    public static WaitReason of(String value) {
        return new WaitReason(value);
    }
}
