"""How to reach RabbitMQ: address, TLS, errors, backoff, and the one declaration of a work queue."""
