"""The producer's only importer of pika: the connection, and what a message looks like to the broker."""
