"""How long to wait before the next attempt: exponential with full jitter, so that many clients do not come at once."""

import random
from collections.abc import Callable


def full_jitter(
    attempt: int, *, base: float, cap: float, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1), between 0 and min(cap, base * 2^(attempt-1)).

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
    """
    exponent = min(max(attempt, 1) - 1, 62)  # 2**62 seconds is past every cap; more would overflow a float
    return uniform(0.0, min(cap, base * 2.0**exponent))
