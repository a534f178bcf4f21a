"""This project's Publisher: publish_many, or submit and its futures. Usage: ours.py many|submit."""

import sys
from time import perf_counter

from sending import BODY, MESSAGES, QUEUE, QUEUE_TYPE, URI, WINDOW
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer import Publisher, PublisherSettings

queue = QueueDeclaration(QUEUE, QueueType(QUEUE_TYPE.capitalize()))
with Publisher(BrokerAddress.from_uri(URI), queue, PublisherSettings(window=WINDOW)) as publisher:
    publisher.publish(BODY)  # connected, as the others are when their time starts
    started = perf_counter()
    if sys.argv[1] == "many":
        publisher.publish_many(BODY for _ in range(MESSAGES - 1))
    else:
        for future in [publisher.submit(BODY) for _ in range(MESSAGES - 1)]:
            future.result()
    print((MESSAGES - 1) / (perf_counter() - started))
