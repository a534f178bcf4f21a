"""The shortest program with pika that keeps a window of unconfirmed messages: no resend, no errors.

Usage: bare_window.py [properties]. Without, its messages have no id, no time and no header; with, those that ours have.
"""

import sys
import time
import uuid
from time import perf_counter

import pika
from sending import BODY, MESSAGES, QUEUE, URI, WINDOW

PERSISTENT = pika.BasicProperties(delivery_mode=2)
OURS = "properties" in sys.argv
RUN = uuid.uuid4().hex


def our_properties(number: int) -> pika.BasicProperties:
    now = time.time()
    headers = {"x-workqueue-published-ms": int(1000 * now)}
    return pika.BasicProperties(delivery_mode=2, message_id=f"{RUN}-{number}", timestamp=int(now), headers=headers)


class BareWindow:
    """One connection, one channel."""

    def __init__(self) -> None:
        self.sent = 0
        self.pending: set[int] = set()
        self.confirmed_to = 0
        self.started = 0.0
        self.connection = pika.SelectConnection(
            pika.URLParameters(URI),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )

    def opened(self, channel: pika.channel.Channel) -> None:
        self.channel = channel
        channel.confirm_delivery(self.answered, callback=self.start)

    def start(self, _: object) -> None:
        self.started = perf_counter()
        self.fill()

    def fill(self) -> None:
        while self.sent < MESSAGES and len(self.pending) < WINDOW:
            properties = our_properties(self.sent) if OURS else PERSISTENT
            self.channel.basic_publish("", QUEUE, BODY, properties, mandatory=True)
            self.sent += 1
            self.pending.add(self.sent)

    def answered(self, frame: pika.frame.Method) -> None:
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self.pending.difference_update(range(self.confirmed_to + 1, tag + 1))
            self.confirmed_to = tag
        else:
            self.pending.discard(tag)
        if not self.pending and self.sent == MESSAGES:
            print(MESSAGES / (perf_counter() - self.started))
            self.connection.close()
        else:
            self.fill()


BareWindow().connection.ioloop.start()
