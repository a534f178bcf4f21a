"""Who went in a scale-down, and what each did: counted once, from real answers only."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.cluster.port import ClusterUnavailable, Pod, Target
from workqueue_operator.passes.victim_watch import WATCH_SECONDS, VictimWatch
from workqueue_operator.resource import Key
from workqueue_operator.scaling.deletion_order import WorkerAnswer
from workqueue_operator.scaling.victims import State, Tally, Victim

from tests.support.fakes import WORKING, FakeCluster, ManualClock

IDLE, BUSY, UNKNOWN = State.IDLE, State.BUSY, State.UNKNOWN
DEPLOYMENT = Key("team", "w")


def pod(name: str, **more: Any) -> Pod:
    return replace(WORKING, name=name, uid=name, **more)


def scaled_down(to: int, *asked: WorkerAnswer) -> Tally:
    """A scale with these answers before it; all but those called `wrong` were meant to go."""
    return Tally().scaled(to, asked, {one.pod.uid for one in asked if not one.pod.name.startswith("wrong")})


def states(tally: Tally, pods: list[Pod], answers: dict[str, int | None] | None = None) -> dict[str, State]:
    return {victim.name: victim.state for victim in tally.after(pods, answers or {})[1]}


def test_who_has_gone_counts_with_the_last_answer() -> None:
    assert states(scaled_down(0, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 1)), []) == {"a": IDLE, "b": BUSY}


def test_the_answer_of_one_who_goes_counts_for_more_than_the_one_before() -> None:
    tally = scaled_down(0, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0))
    going = [pod("a", terminating=True), pod("b", terminating=True)]
    assert states(tally, going, {"a": 2, "b": 0}) == {"a": BUSY, "b": IDLE}


def test_one_who_goes_and_does_not_answer_is_waited_for() -> None:
    """It may have got a task after its last answer."""
    tally, victims = scaled_down(0, WorkerAnswer(pod("a"), 0)).after([pod("a", terminating=True)], {"a": None})
    assert (victims, tally.is_done) == ([], False)
    assert states(tally, [pod("a", terminating=True)], {"a": 1}) == {"a": BUSY}
    assert states(tally, []) == {"a": IDLE}
    assert [victim.state for victim in tally.closed()] == [IDLE]


def test_who_never_answered_is_unknown() -> None:
    assert states(scaled_down(0, WorkerAnswer(pod("a"), None)), []) == {"a": UNKNOWN}


def test_a_container_that_never_ran_was_idle() -> None:
    made = WorkerAnswer(pod("a", running=False, pending=True, ready=False), None)
    assert states(scaled_down(0, made), []) == {"a": IDLE}


def test_a_container_that_began_to_run_after_the_last_answer_is_unknown() -> None:
    tally, _ = scaled_down(0, WorkerAnswer(pod("a", running=False, pending=True), None)).after([pod("a")], {})
    assert states(tally, []) == {"a": UNKNOWN}


def test_a_container_that_has_ended_is_not_waited_for() -> None:
    tally = scaled_down(0, WorkerAnswer(pod("a"), 0))
    assert states(tally, [pod("a", terminating=True, running=False)]) == {"a": IDLE}


def test_who_went_before_the_scale_is_not_counted() -> None:
    before = WorkerAnswer(pod("a", terminating=True), 1)
    tally = scaled_down(1, before, WorkerAnswer(pod("b"), 0), WorkerAnswer(pod("c"), 0))
    assert states(tally, [pod("c")]) == {"b": IDLE}


def test_evicted_pods_are_neither_awaited_nor_counted() -> None:
    tally = scaled_down(1, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b", finished=True, running=False), None))
    assert tally.awaited == 0
    assert states(tally, [pod("a")]) == {}


def test_it_is_done_when_no_more_than_wanted_stay_and_each_other_one_is_counted() -> None:
    tally = scaled_down(1, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0), WorkerAnswer(pod("c"), 0))
    assert not tally.is_done
    tally, _ = tally.after([pod("a"), pod("b", terminating=True)], {"b": None})
    assert (tally.is_done, tally.awaited) == (False, 1)
    tally, _ = tally.after([pod("a")], {})
    assert tally.is_done


def test_a_later_scale_continues_with_the_pods_that_were_stopped_before() -> None:
    """One that does not answer is still counted once, with the answer that it gives at last."""
    tally, victims = scaled_down(1, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0)).after(
        [pod("a", terminating=True), pod("b")], {}
    )
    assert victims == []
    again = tally.scaled(0, [WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0)], {"b"})
    assert again.after([], {})[1] == [Victim("a", IDLE, meant=True), Victim("b", IDLE, meant=True)]


def test_who_is_counted_is_not_counted_again_by_a_look_from_before() -> None:
    tally, victims = scaled_down(1, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0)).after([pod("b")], {})
    assert [victim.name for victim in victims] == ["a"]
    again = tally.scaled(0, [WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0)], {"a", "b"})
    assert states(again, []) == {"b": IDLE}


def test_a_pod_that_was_made_after_the_scale_counts_too() -> None:
    """The ReplicaSet was still behind with growth; it deletes the new ones first."""
    tally, _ = scaled_down(1, WorkerAnswer(pod("a"), 0), WorkerAnswer(pod("b"), 0)).after(
        [pod("a"), pod("b"), pod("late", running=False)], {}
    )
    assert states(tally, [pod("a")]) == {"b": IDLE, "late": IDLE}


def test_a_pod_that_was_not_meant_to_go_is_logged() -> None:
    (victim,) = scaled_down(1, WorkerAnswer(pod("wrong"), 1), WorkerAnswer(pod("b"), 0)).after([pod("b")], {})[1]
    assert victim == Victim("wrong", BUSY, meant=False)


looks = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.booleans(), st.none() | st.integers(0, 1)), max_size=6),
    max_size=8,
)


@given(looks, st.integers(0, 6))
def test_whatever_is_seen_each_worker_counts_at_most_once_and_busy_needs_an_answer(
    seen: list[dict[str, tuple[bool, int | None]]], wanted: int
) -> None:
    tally = scaled_down(wanted, *(WorkerAnswer(pod(name), None) for name in "abcdef"))
    victims: list[Victim] = []
    answered: set[str] = set()
    gone: set[str] = set()
    for look in seen:
        gone |= {name for name, (terminating, _) in look.items() if terminating}
        pods = [pod(name, terminating=name in gone) for name in look]
        answers = {name: answer for name, (_, answer) in look.items() if name in gone}
        answered |= {name for name, answer in answers.items() if answer}
        tally, counted = tally.after(pods, answers)
        victims += counted
    victims += tally.closed()
    names = [victim.name for victim in victims]
    assert len(names) == len(set(names))
    assert {victim.name for victim in victims if victim.state is BUSY} <= answered


async def watched(cluster: FakeCluster, clock: ManualClock, reported: list[Victim]) -> VictimWatch:
    """Four workers scaled down to one, which the ReplicaSet does not carry out yet."""
    cluster.add_deployment(DEPLOYMENT, 4)
    cluster.replicasets_lag = True
    asked = [WorkerAnswer(one, 0) for one in cluster.pods.values()]
    target = await cluster.set_replicas(cluster.targets[DEPLOYMENT], 1)
    watch = VictimWatch(cluster, clock, reported.append)
    watch.note_scale_down(target, 8000, asked, {one.pod.uid for one in asked})
    return watch


async def test_a_watch_goes_on_through_an_api_server_that_does_not_answer() -> None:
    cluster, reported = FakeCluster(), list[Victim]()
    watch = await watched(cluster, ManualClock(), reported)
    cluster.failures = [ClusterUnavailable("429 too many requests")] * 3
    cluster.carry_out(DEPLOYMENT)
    await watch.wait()
    assert [victim.state for victim in reported] == [IDLE] * 3


async def test_a_watch_ends_when_no_pod_leaves() -> None:
    cluster, clock, reported = FakeCluster(), ManualClock(), list[Victim]()
    watch = await watched(cluster, clock, reported)
    clock.advance(WATCH_SECONDS)
    await watch.wait()
    assert (watch.is_over, reported) == (True, [])


async def test_all_that_go_are_asked_at_once() -> None:
    """Each may take a whole second not to answer, and a worker without a task is gone in less."""

    class Asking(FakeCluster):
        asked_now = most = 0

        async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
            self.asked_now += 1
            self.most = max(self.most, self.asked_now)
            await ManualClock().sleep(1)
            self.asked_now -= 1
            return 1

    cluster, reported = Asking(), list[Victim]()
    watch = await watched(cluster, ManualClock(), reported)
    cluster.tasks.update(dict.fromkeys(cluster.pods, 1))
    cluster.carry_out(DEPLOYMENT)
    await watch.wait()
    assert (cluster.most, [victim.state for victim in reported]) == (3, [BUSY] * 3)


class Slow(FakeCluster):
    """A cluster that has changed by the time its answer comes."""

    async def read_pods(self, target: Target) -> list[Pod]:
        pods = list(await super().read_pods(target))
        await ManualClock().sleep(1)
        return pods


async def test_growth_in_the_middle_of_a_look_does_not_hide_who_went_before_it() -> None:
    cluster, reported = Slow(), list[Victim]()
    watch = await watched(cluster, ManualClock(), reported)
    await ManualClock().sleep(1)  # it has read the four, and not yet looked at them
    cluster.carry_out(DEPLOYMENT)
    cluster.replicasets_lag = False
    await cluster.set_replicas(cluster.targets[DEPLOYMENT], 4)
    watch.note_scale_up(4)
    await watch.wait()
    assert len(reported) == 3


async def test_a_look_that_began_before_the_last_scale_counts_no_pod() -> None:
    """It does not have the pods that were made since, and they have not gone."""
    cluster, reported = Slow(), list[Victim]()
    watch = await watched(cluster, ManualClock(), reported)
    await ManualClock().sleep(1)  # it has read the four, and not yet looked at them
    cluster.replicasets_lag = False
    grown = await cluster.set_replicas(cluster.targets[DEPLOYMENT], 6)
    watch.note_scale_up(6)
    asked = [WorkerAnswer(one, 0) for one in cluster.pods.values()]
    cluster.replicasets_lag = True
    watch.note_scale_down(await cluster.set_replicas(grown, 5), 8000, asked, set())
    cluster.carry_out(DEPLOYMENT)
    await watch.wait()
    assert len(reported) == 1
