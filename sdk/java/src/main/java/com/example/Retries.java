package com.example;

import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/** When a call that failed is made again, and after which pause. */
final class Retries {
    /** Of one call, the first one counted: after that it is more than a hiccup. */
    static final int TRIES = 3;

    /** Longer than this nobody wants to wait unasked; the exception tells it instead. */
    private static final Duration LONGEST = Duration.ofSeconds(30);

    private static final Duration FIRST_PAUSE = Duration.ofMillis(200);
    private static final Set<Integer> STATUSES = Set.of(429, 502, 503, 504);

    private Retries() {
    }

    /**
     * The pause before the next try; null where there is none.
     *
     * @param tries how many there were
     */
    static Duration pause(Call call, TaskSchedulerException error, int tries, Duration left) {
        if (!call.repeatable() || tries >= TRIES || !passes(error)) {
            return null;
        }
        Duration pause = asked(error, jittered(FIRST_PAUSE.multipliedBy(1L << (tries - 1))));
        return pause.compareTo(LONGEST) > 0 || pause.compareTo(left) >= 0 ? null : pause;
    }

    /** Whether the same call may do better a little later. */
    static boolean passes(TaskSchedulerException error) {
        if (error instanceof ApiException answer) {
            // The try before may still be in work under the same Idempotency-Key: its answer comes soon.
            boolean inWork = answer.getCode().filter("idempotency_key_in_use"::equals).isPresent();
            return inWork || STATUSES.contains(answer.getStatus());
        }
        return error instanceof ConnectException;
    }

    /** What the answer asks to wait, or {@code own} where that is longer. */
    static Duration asked(TaskSchedulerException error, Duration own) {
        Optional<Duration> asked = error instanceof ApiException answer ? answer.getRetryAfter() : Optional.empty();
        return asked.filter(longer -> longer.compareTo(own) > 0).orElse(own);
    }

    /** Between half and all of it, so that clients that failed together do not come back together. */
    private static Duration jittered(Duration pause) {
        long nanos = pause.toNanos();
        return Duration.ofNanos(ThreadLocalRandom.current().nextLong(nanos / 2, nanos));
    }
}
