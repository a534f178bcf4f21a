"""The loop of RabbitMQ's tutorial two, without its prints: the ack after the work, nothing else."""

import pika
from task import PREFETCH, QUEUE, URI, work


def callback(channel: object, method: object, _properties: object, _body: bytes) -> None:
    work()
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel = pika.BlockingConnection(pika.URLParameters(URI)).channel()
channel.basic_qos(prefetch_count=PREFETCH)
channel.basic_consume(queue=QUEUE, on_message_callback=callback)
channel.start_consuming()
