"""What holds for every decision."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.decision import ManualSize, Reason, Situation, Unknown, Workers, decide, readable
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.history import History

from tests.support.strategies import counts, histories, policies, situations, workers

NOW = 1_000_000.0


@given(policies(), situations, histories())
def test_it_never_leaves_the_range_of_what_is_there_and_the_bounds(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    current = situation.workers.replicas
    sizes = [current, policy.min_replicas, policy.max_replicas]
    if situation.manual:
        sizes.append(situation.manual.replicas)
    assert min(sizes) <= decide(policy, situation, history, NOW).replicas <= max(sizes)


@given(policies(), situations, histories())
def test_it_never_grows_past_max_replicas(policy: ScalingPolicy, situation: Situation, history: History) -> None:
    assume(situation.manual is None)
    decision = decide(policy, situation, history, NOW)
    assert decision.replicas <= max(policy.max_replicas, situation.workers.replicas)


@given(policies(), situations, histories())
def test_it_never_scales_down_by_more_than_the_idle_workers(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    gone = situation.workers.replicas - decide(policy, situation, history, NOW).replicas
    assert gone <= (situation.workers.removable or 0)


@given(policies(), situations, histories())
def test_it_never_scales_down_on_an_unknown_reading(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    assume(isinstance(readable(situation.reading, situation.workers, history.in_use), Unknown))
    assert decide(policy, situation, history, NOW).replicas >= situation.workers.replicas


@given(policies(), situations, histories())
def test_it_never_scales_down_below_the_windows_highest_wish(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    highest = history.highest_wish(NOW, policy.scale_down_stabilization_seconds)
    floor = min(situation.workers.replicas, highest)
    assert decide(policy, situation, history, NOW).replicas >= floor


@given(policies(), situations, histories())
def test_it_never_scales_down_before_one_whole_window(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    fresh = replace(history, watched_since=NOW - policy.scale_down_stabilization_seconds + 0.5)
    assume(policy.scale_down_stabilization_seconds > 0)
    assert decide(policy, situation, fresh, NOW).replicas >= situation.workers.replicas


@given(policies(), situations, histories(), st.integers(0, 2**20))
def test_more_waiting_messages_never_mean_fewer_workers(
    policy: ScalingPolicy, situation: Situation, history: History, more: int
) -> None:
    reading = readable(situation.reading, situation.workers, history.in_use)
    assume(isinstance(reading, Counts))
    assert isinstance(reading, Counts)
    fuller = replace(situation, reading=replace(reading, messages_ready=reading.messages_ready + more))
    before, after = (decide(policy, one, history, NOW).replicas for one in (situation, fuller))
    assert after >= before


@given(policies(), situations, histories())
def test_it_never_scales_down_while_the_deployment_rolls_out(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    rolling = replace(situation, workers=replace(situation.workers, rolling_out=True))
    assert decide(policy, rolling, history, NOW).replicas >= situation.workers.replicas


@given(policies(), counts, workers(), histories())
def test_while_workers_fail_it_never_grows_above_min_replicas_or_one_probe(
    policy: ScalingPolicy, reading: Counts, seen: Workers, history: History
) -> None:
    """A fallback is another matter: it is for a queue that cannot be read."""
    failing = replace(seen, failing="3 of 4 pods fail: CrashLoopBackOff")
    most = max(seen.replicas, policy.min_replicas, 1)
    decision = decide(replace(policy, fallback=None), Situation(reading, failing), history, NOW)
    assert decision.replicas <= most


@given(policies(), situations, histories())
def test_workers_that_fail_do_not_keep_the_first_worker_from_starting(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    none = replace(situation, workers=Workers(0, 0, failing="9 redeliveries and no ack among them"))
    well = replace(situation, workers=Workers(0, 0))
    assert (decide(policy, none, history, NOW).replicas > 0) == (decide(policy, well, history, NOW).replicas > 0)


@given(policies(), workers(), histories())
def test_no_message_and_no_consumer_takes_no_worker_of_a_queue_that_was_in_use(
    policy: ScalingPolicy, seen: Workers, history: History
) -> None:
    used = replace(history, in_use=True)
    assert decide(policy, Situation(Counts(0, 0), seen), used, NOW).replicas >= seen.replicas


@given(policies(), situations, histories())
def test_the_decision_carries_the_reading_as_it_was_judged(
    policy: ScalingPolicy, situation: Situation, history: History
) -> None:
    judged = readable(situation.reading, situation.workers, history.in_use)
    assert decide(policy, situation, history, NOW).reading == judged


@given(workers(), st.booleans())
def test_no_message_and_no_consumer_is_an_empty_queue_where_there_are_no_workers(seen: Workers, in_use: bool) -> None:
    assert readable(Counts(0, 0), replace(seen, replicas=0), in_use) == Counts(0, 0)


@given(policies(), situations, histories(), st.floats(301, 1e5), st.booleans())
def test_a_clock_that_jumps_takes_no_worker(
    policy: ScalingPolicy, situation: Situation, history: History, jump: float, back: bool
) -> None:
    """Forward by more than a few polls, or back by more than was watched: the window starts again."""
    since = history.passed_at if history.watched_since is None else history.watched_since
    now = since - jump if back else history.passed_at + jump
    assert decide(policy, situation, history, now).replicas >= situation.workers.replicas


@given(policies(), situations, histories(), st.integers(0, 200), st.booleans())
def test_a_size_given_by_hand_is_kept_on_its_side(
    policy: ScalingPolicy, situation: Situation, history: History, size: int, raised: bool
) -> None:
    """After it was raised, no decision goes below it; after it was lowered, none starts a worker above it."""
    workers = replace(situation.workers, failing=None)
    by_hand = replace(situation, workers=workers, manual=ManualSize(size, raised, 300.0), paused=False)
    replicas, current = decide(policy, by_hand, history, NOW).replicas, situation.workers.replicas
    if raised:
        assert replicas >= min(size, current)
    else:
        assert replicas <= max(size, current)


@given(policies(), situations, histories())
def test_no_answer_is_never_called_busy(policy: ScalingPolicy, situation: Situation, history: History) -> None:
    """Without one worker that answered that it works, no size is explained by work."""
    workers = replace(situation.workers, busy=0, silent=situation.workers.replicas, removable=0)
    decision = decide(policy, replace(situation, workers=workers), history, NOW)
    assert decision.reason is not Reason.WORKERS_BUSY


@given(policies(), situations, histories())
def test_asking_twice_answers_the_same(policy: ScalingPolicy, situation: Situation, history: History) -> None:
    assert decide(policy, situation, history, NOW) == decide(policy, situation, history, NOW)


@given(policies(), counts, st.integers(0, 100), histories())
def test_once_applied_the_decision_is_final(
    policy: ScalingPolicy, reading: Counts, size: int, history: History
) -> None:
    """Deciding again about the Deployment that was just scaled changes nothing more, but for a step limit."""
    first = decide(policy, Situation(reading, Workers(size, 0, removable=size)), history, NOW)
    again = decide(policy, Situation(reading, Workers(first.replicas, 0, removable=first.replicas)), history, NOW)
    assert again.replicas == first.replicas or first.reason is Reason.STEP_LIMITED


@given(policies(), situations, histories())
def test_the_message_is_one_line_with_numbers(policy: ScalingPolicy, situation: Situation, history: History) -> None:
    message = decide(policy, situation, history, NOW).message
    assert "\n" not in message
    assert any(character.isdigit() for character in message)


@given(st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 100)), min_size=1, max_size=50), st.integers(1, 600))
def test_the_history_keeps_the_windows_maximum(steps: list[tuple[float, int]], window: int) -> None:
    """The compact form answers as the whole list of wishes would."""
    history, now, wishes = History(), 0.0, []
    for pause, wish in steps:
        now += pause
        history = history.remember(now, wish, window, known=True)
        wishes.append((now, wish))
    assert history.highest_wish(now, window) == max(wish for time, wish in wishes if now - time < window)
