"""A RabbitMQ in a pod, for tests and the demo."""
