"""How long it took from the first publish to the first worker asked for, by the clocks of both programs. Pure."""

import json
import re
from datetime import datetime, timedelta

#: Two nodes' clocks may differ by so much; what is further before the publish belongs to an earlier run.
CLOCKS_DIFFER = timedelta(seconds=5)
GREW_FROM_ZERO = re.compile(r": \w+: 0 -> [1-9]")


def first_growth(log: str, published: datetime) -> datetime | None:
    """The time of the operator's first step up from zero in its log (JSON lines); None when it made none."""
    lines = [json.loads(text) for text in log.splitlines() if text.startswith("{")]
    times = [datetime.fromisoformat(one["time"]) for one in lines if GREW_FROM_ZERO.search(one["message"])]
    return min((time for time in times if time > published - CLOCKS_DIFFER), default=None)


def in_words(published: datetime, scaled: datetime | None) -> str:
    if scaled is None:
        return "not seen"
    seconds = (scaled - published).total_seconds()
    return f"{seconds:.2f} s" if seconds >= 0 else "less than these nodes' clocks differ"
