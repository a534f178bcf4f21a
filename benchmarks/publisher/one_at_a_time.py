"""pika's BlockingChannel with confirms: each publish waits for its own."""

from time import perf_counter

import pika
from sending import BODY, MESSAGES, QUEUE, URI

PERSISTENT = pika.BasicProperties(delivery_mode=2)

with pika.BlockingConnection(pika.URLParameters(URI)) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    started = perf_counter()
    for _ in range(MESSAGES):
        channel.basic_publish("", QUEUE, BODY, PERSISTENT, mandatory=True)
    print(MESSAGES / (perf_counter() - started))
