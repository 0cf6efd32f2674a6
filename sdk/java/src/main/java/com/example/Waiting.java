package com.example;

import java.time.Duration;
import java.util.function.Function;

/** Asks for an execution until it has ended. */
final class Waiting {
    private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(2);

    private Waiting() {
    }

    /**
     * Returns the execution once it has ended.
     *
     * @param ask gets it; its argument is how long that may take
     * @throws WaitTimeoutException where it has not ended within {@code timeout}
     */
    static ExecutionDetails untilEnded(String executionId, Duration timeout, Function<Duration, ExecutionDetails> ask) {
        long deadline = System.nanoTime() + RequestOption.checked(timeout, "timeout").toNanos();
        Duration pause = FIRST_PAUSE;
        String status = "not answered for";
        while (System.nanoTime() < deadline) {
            try {
                ExecutionDetails execution = ask.apply(left(deadline));
                if (execution.getStatus().isEnd()) {
                    return execution;
                }
                status = execution.getStatus().toString();
            } catch (RequestTimeoutException error) {
                if (System.nanoTime() < deadline) {
                    throw error;
                }
            }
            Transport.sleep(shorter(pause, left(deadline)), "waiting for execution " + executionId);
            pause = shorter(pause.multipliedBy(3).dividedBy(2), LONGEST_PAUSE);
        }
        throw new WaitTimeoutException(executionId, "execution " + executionId + " is " + status + " after "
            + timeout.toMillis() + " ms, and goes on; wait longer, or cancel it");
    }

    private static Duration left(long deadline) {
        return Duration.ofNanos(Math.max(1, deadline - System.nanoTime()));
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }
}
