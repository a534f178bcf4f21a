"""The broker, as the operator reads it: queues over AMQP, totals and policies over the management API."""
