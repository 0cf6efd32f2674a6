"""The scheduler process: decide what is due, plan it, release it to RabbitMQ."""
