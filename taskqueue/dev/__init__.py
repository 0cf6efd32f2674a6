"""What development needs: RabbitMQ and Redis of our own, a scripted endpoint, the demo."""
