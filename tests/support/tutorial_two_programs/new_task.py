"""Tutorial two's new_task.py, word for word but for the address and the queue's arguments (none, or a quorum queue)."""

import json
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()

channel.queue_declare(queue="task_queue", durable=True, arguments=json.loads(os.environ["QUEUE_ARGUMENTS"]))

message = " ".join(sys.argv[1:]) or "Hello World!"
channel.basic_publish(
    exchange="",
    routing_key="task_queue",
    body=message,
    properties=pika.BasicProperties(
        delivery_mode=2,  # make message persistent
    ),
)
print(f" [x] Sent {message!r}")
connection.close()
