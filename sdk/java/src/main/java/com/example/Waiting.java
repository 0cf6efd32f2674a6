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
     * Returns the execution once it has ended. What may pass does not end the waiting: no connection, no answer in
     * time, and 429, 502, 503 and 504.
     *
     * @param ask gets it; its argument is how long that may take
     * @throws WaitTimeoutException where it has not ended within {@code timeout}
     */
    static ExecutionDetails untilEnded(String executionId, Duration timeout, Function<Duration, ExecutionDetails> ask) {
        long deadline = System.nanoTime() + RequestOption.checked(timeout, "timeout").toNanos();
        Duration pause = FIRST_PAUSE;
        String status = "not answered for";
        TaskSchedulerException failure = null;
        while (System.nanoTime() < deadline) {
            Duration wait = pause;
            try {
                ExecutionDetails execution = ask.apply(left(deadline));
                if (execution.hasEnded()) {
                    return execution;
                }
                status = execution.getStatus().toString();
                failure = null;
            } catch (TaskSchedulerException error) {
                if (!passes(error)) {
                    throw error;
                }
                // A request that ends with the wait tells nothing more than the wait does.
                boolean isLast = error instanceof RequestTimeoutException && System.nanoTime() >= deadline;
                failure = isLast ? failure : error;
                wait = Retries.asked(error, pause);
            }
            Transport.sleep(shorter(wait, left(deadline)), "waiting for execution " + executionId);
            pause = shorter(pause.multipliedBy(3).dividedBy(2), LONGEST_PAUSE);
        }
        String seen = failure == null ? "" : ". The last look failed: " + failure.getMessage();
        throw new WaitTimeoutException(executionId, "execution " + executionId + " is " + status + " after "
            + timeout.toMillis() + " ms, and goes on; wait longer, or cancel it" + seen, failure);
    }

    private static boolean passes(TaskSchedulerException error) {
        return error instanceof RequestTimeoutException || Retries.passes(error);
    }

    private static Duration left(long deadline) {
        return Duration.ofNanos(Math.max(1, deadline - System.nanoTime()));
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }
}
