"""A message with all of its optional properties: what a handler and a command must see of it."""

from typing import Any

#: By their names in AMQP. `user_id` is missing: the broker accepts only the name of the user that publishes.
DESCRIBED: dict[str, Any] = {
    "content_encoding": "gzip",
    "correlation_id": "c1",
    "reply_to": "answers",
    "type": "order",
    "app_id": "shop",
    "expiration": "60000",
    "priority": 5,
}
