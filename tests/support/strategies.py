"""Hypothesis strategies for what the decision looks at, and histories made pass by pass."""

from dataclasses import replace

from hypothesis import strategies as st
from workqueue_operator.resource import Fallback, ScalingPolicy
from workqueue_operator.scaling.decision import ManualSize, Situation, Unknown, Workers
from workqueue_operator.scaling.demand import NO_MANAGEMENT_URI, Counts, Rates
from workqueue_operator.scaling.history import History

counts = st.builds(
    Counts,
    messages_ready=st.integers(0, 2**31),
    consumers=st.integers(0, 1000),
    rates=st.just(NO_MANAGEMENT_URI) | st.builds(Rates, st.floats(0, 1e5), st.floats(0, 1e5)),
)
unknowns = st.just(Unknown("Unavailable", "connection refused"))
readings = counts | unknowns
replicas = st.integers(0, 200)


@st.composite
def policies(draw: st.DrawFn) -> ScalingPolicy:
    """A policy whose minReplicas is at most its maxReplicas."""
    least, most = sorted((draw(st.integers(0, 100)), draw(st.integers(0, 100))))
    return ScalingPolicy(
        min_replicas=least,
        max_replicas=most,
        messages_per_replica=draw(st.integers(1, 1000)),
        drain_seconds=draw(st.none() | st.integers(1, 3600)),
        poll_period_seconds=draw(st.integers(1, 60)),
        scale_up_max_step=draw(st.integers(0, 20)),
        scale_down_stabilization_seconds=draw(st.integers(0, 600)),
        fallback=draw(st.none() | st.builds(Fallback, st.integers(1, 600), st.integers(0, 100))),
    )


@st.composite
def workers(draw: st.DrawFn) -> Workers:
    """A Deployment with any health."""
    size = draw(replicas)
    return Workers(
        replicas=size,
        ready=draw(st.integers(0, size)),
        rolling_out=draw(st.booleans()),
        removable=draw(st.none() | st.integers(0, size)),
        busy=draw(st.integers(0, size)),
        silent=draw(st.integers(0, size)),
        failing=draw(st.none() | st.just("3 of 4 pods fail: CrashLoopBackOff")),
    )


manual_sizes = st.none() | st.builds(ManualSize, replicas, st.booleans(), st.just(300.0))
situations = st.builds(Situation, readings, workers(), manual_sizes, st.booleans())


def watch(
    history: History, since: float, until: float, replicas: int, window_seconds: float = 60, *, known: bool = True
) -> History:
    """The history after a pass a second from `since` until just before `until`, each of which wanted `replicas`."""
    for second in range(int(until - since)):
        history = history.remember(since + second, replicas, window_seconds, known=known)
    return history


@st.composite
def histories(draw: st.DrawFn, window_seconds: float = 600.0) -> History:
    """A history that grew by remembering, up to a moment before the time 1,000,000, with pauses long and short."""
    pauses = st.floats(0.1, 9) | st.floats(0.1, 300)
    passes = draw(st.lists(st.tuples(pauses, replicas, st.booleans()), max_size=20))
    now = 1_000_000.0 - draw(st.floats(0.1, 9)) - sum(pause for pause, _, _ in passes)
    history = History(in_use=draw(st.booleans()))
    if draw(st.booleans()):
        history = replace(
            history, watched_since=now - draw(st.floats(0, 5000)), passed_at=now, window_seconds=window_seconds
        )
    for pause, wish, known in passes:
        now += pause
        history = history.remember(now, wish, window_seconds, known=known)
    return history
