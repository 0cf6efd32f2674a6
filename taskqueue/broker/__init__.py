"""RabbitMQ: names, topology, publishing, consuming. The only home of aio_pika."""
