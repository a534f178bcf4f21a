"""How often each broker gave no usable answer, by kind of error. Brokers that no WorkQueue uses are forgotten. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping


class BrokerErrors:
    """Counts by broker, such as `rabbitmq:5672/%2F`, and by kind of error."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def count(self, broker: str, kind: str, in_use: Callable[[], Iterable[str]]) -> None:
        """Count one error. `in_use`: answers which brokers WorkQueues use now; called for a new one alone."""
        if broker not in self._counts:
            kept = set(in_use())
            self._counts = {known: counts for known, counts in self._counts.items() if known in kept}
            self._counts[broker] = Counter()
        self._counts[broker][kind] += 1

    def of(self, broker: str) -> Mapping[str, int]:
        """The counts of a broker; a kind that is missing never happened."""
        return self._counts.get(broker, Counter())
