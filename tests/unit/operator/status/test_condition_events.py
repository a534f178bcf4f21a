"""Every Warning about a condition is followed by one Event that it is over, and there is no second one before."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.cluster.port import Notice
from workqueue_operator.status.condition_events import EVENT_CONDITIONS, is_news, open_after, open_in, owed, to_store
from workqueue_operator.status.conditions import PASSING

Conditions = Sequence[Mapping[str, Any]]

WARNED = Notice("Unavailable", "no answer", "Warning", "QueueObserved")
OVER = Notice("Observed", "QueueObserved again", condition="QueueObserved")


def condition(status: str, name: str = "QueueObserved", reason: str = "Unavailable") -> Mapping[str, Any]:
    message = "no answer"
    return {"type": name, "status": status, "reason": "Observed" if status == "True" else reason, "message": message}


def test_what_is_false_is_reported_once() -> None:
    assert owed([condition("False")], (), (), judged=True) == [WARNED]
    assert owed([condition("False")], (), [WARNED], judged=True) == []
    assert owed([condition("False")], {"QueueObserved"}, (), judged=True) == []


def test_what_was_reported_and_is_true_again_is_reported_once() -> None:
    assert owed([condition("True")], {"QueueObserved"}, (), judged=True) == [OVER]
    assert owed([condition("True")], {"QueueObserved"}, [OVER], judged=True) == []
    assert owed([condition("True")], (), (), judged=True) == []


def test_of_several_that_wait_the_last_one_counts() -> None:
    assert owed([condition("True")], (), [WARNED, OVER, WARNED], judged=True) == [OVER]
    assert owed([condition("False")], (), [WARNED, OVER], judged=True) == [WARNED]


@pytest.mark.parametrize("between", ["Unknown", None])
def test_what_is_not_known_is_no_news(between: str | None) -> None:
    found = [condition(between)] if between else []
    assert owed(found, {"QueueObserved"}, (), judged=True) == []
    assert owed(found, (), (), judged=True) == []


@pytest.mark.parametrize("name", PASSING)
def test_a_condition_that_is_only_there_while_false_is_over_when_a_pass_judged_it(name: str) -> None:
    assert owed([], {name}, (), judged=False) == []
    assert owed([], {name}, (), judged=True) == [Notice(name, f"{name} again", condition=name)]
    assert owed([condition("False", name)], {name}, (), judged=True) == []


@pytest.mark.parametrize("reason", ["Paused", "DryRun", "DeploymentNotFound", "QueueUnknown"])
def test_scaling_that_is_off_for_a_reason_with_an_event_of_its_own_neither_warns_nor_is_over(reason: str) -> None:
    found = [condition("False", "ScalingActive", reason)]
    assert owed(found, (), (), judged=True) == []
    assert owed(found, {"ScalingActive"}, (), judged=True) == []


def test_a_reason_that_takes_the_place_of_a_silent_one_is_reported() -> None:
    (notice,) = owed([condition("False", "ScalingActive", "InvalidSpec")], (), (), judged=False)
    assert (notice.reason, notice.type) == ("InvalidSpec", "Warning")


def test_what_only_a_silent_reason_kept_false_is_not_reported_as_over() -> None:
    assert owed([condition("False", "PolicyApplied", "ManagementApiMissing")], (), (), judged=True) == []
    assert open_in({"conditions": [condition("False", "PolicyApplied", "ManagementApiMissing")]}) == set()


def test_what_is_open_is_known_to_the_next_operator() -> None:
    status = {"openWarnings": ["QueueObserved", "NoCondition"], "conditions": [condition("Unknown")]}
    assert open_in(status) == {"QueueObserved"}
    assert open_in({"conditions": [condition("False", "TargetFound")]}) == {"TargetFound"}
    assert open_in({}) == set()


def test_other_events_open_and_end_nothing() -> None:
    assert open_after(Notice("Backlog", "0 -> 6"), {"QueueObserved"}) == {"QueueObserved"}


class Passes:
    """An operator's passes over one condition, and what a user reads of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: The types of its Events, oldest first.
        self.read: list[str] = []
        self._now = condition("Unknown", name)
        self._waiting: list[Notice] = []
        self._open: frozenset[str] = frozenset()
        self._status: Mapping[str, Any] = {}

    def turn(self, status: str) -> None:
        self._now = condition(status, self.name, "InvalidSpec")
        notices = owed([self._now], self._open, self._waiting, judged=True)
        self._status = {"openWarnings": to_store(self._open, [*self._waiting, *notices]), "conditions": [self._now]}
        self._waiting += notices

    def post(self) -> None:
        if self._waiting:
            notice = self._waiting.pop(0)
            if is_news(notice, self._open):
                self._open = open_after(notice, self._open)
                self.read.append(notice.type)

    def drop(self) -> None:
        """The oldest one, as a full queue does."""
        del self._waiting[:1]

    def restart(self) -> None:
        self._waiting.clear()
        self._open = open_in(self._status)

    def end_well(self) -> list[str]:
        """True at last, and all is posted."""
        self.turn("True")
        while self._waiting:
            self.post()
        return self.read


TURNS = ["True", "False", "Unknown"]
LASTING = sorted(set(EVENT_CONDITIONS) - set(PASSING))


@given(st.lists(st.sampled_from([*TURNS, "post", "drop"]), max_size=30), st.sampled_from(LASTING))
def test_warnings_and_their_ends_come_by_turns_however_late_they_are_and_whatever_is_dropped(
    steps: list[str], name: str
) -> None:
    read = read_after(steps, name)
    assert read == ["Warning", "Normal"] * (len(read) // 2)


@given(st.lists(st.sampled_from([*TURNS, "post", "restart"]), max_size=30), st.sampled_from(LASTING))
def test_a_warning_is_followed_by_its_end_although_the_operator_restarts_at_any_moment(
    steps: list[str], name: str
) -> None:
    assert read_after(steps, name)[-1:] in ([], ["Normal"])


def read_after(steps: list[str], name: str) -> list[str]:
    """The types of the Events after these steps and a good end."""
    passes = Passes(name)
    for step in steps:
        passes.turn(step) if step in TURNS else getattr(passes, step)()
    return passes.end_well()
