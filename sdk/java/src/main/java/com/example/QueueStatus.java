package com.example;

import java.util.Optional;

/** How many jobs stand ready in each queue; absent while RabbitMQ cannot be asked. */
public final class QueueStatus extends Model {
    private final Long highPriority;
    private final Long mediumPriority;
    private final Long lowPriority;

    QueueStatus(Members members) {
        highPriority = members.countOrNull("high_priority");
        mediumPriority = members.countOrNull("medium_priority");
        lowPriority = members.countOrNull("low_priority");
    }

    /** Of priority high. */
    public Optional<Long> getHighPriority() {
        return Optional.ofNullable(highPriority);
    }

    /** Of priority medium. */
    public Optional<Long> getMediumPriority() {
        return Optional.ofNullable(mediumPriority);
    }

    /** Of priority low. */
    public Optional<Long> getLowPriority() {
        return Optional.ofNullable(lowPriority);
    }
}
