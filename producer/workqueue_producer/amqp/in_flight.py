"""The messages that were sent and not yet confirmed, by delivery tag. Tags are numbered from 1 in each channel."""

from collections import deque

from workqueue_producer.task import Message


class InFlight:
    """Confirms come mostly in order, often many at once, and sometimes not in order: a deque with holes."""

    def __init__(self) -> None:
        self._messages: deque[Message | None] = deque()
        self._first_tag = 1
        self._holes = 0

    def __len__(self) -> int:
        return len(self._messages) - self._holes

    def add(self, message: Message) -> None:
        """The message was sent; its tag is the next."""
        self._messages.append(message)

    def answered(self, tag: int, multiple: bool) -> list[Message]:
        """Take out the message of the tag, or all up to the tag."""
        index = tag - self._first_tag
        if multiple:
            taken = [self._messages.popleft() for _ in range(index + 1)]
            self._first_tag += len(taken)
        else:
            taken = [self._messages[index]]
            self._messages[index] = None
            self._holes += 1
        messages = [message for message in taken if message is not None]
        self._holes -= len(taken) - len(messages)
        self._close_front()
        return messages

    def find(self, message_id: str) -> list[Message]:
        """All of this id: a caller may have given it twice, and a returned message is known by its id alone."""
        return [message for message in self._messages if message and message.message_id == message_id]

    def all(self) -> list[Message]:
        """Everything, in the order it was sent."""
        return [message for message in self._messages if message is not None]

    def _close_front(self) -> None:
        while self._messages and self._messages[0] is None:
            self._messages.popleft()
            self._first_tag += 1
            self._holes -= 1
