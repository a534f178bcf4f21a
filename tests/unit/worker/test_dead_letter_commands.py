"""Listing, replaying and dropping dead letters: which are taken, which are renewed first, and what a failure leaves."""

from collections.abc import Callable

import pytest
from workqueue_worker.dead_letter_commands import (
    NoSuchTask,
    PartlyDone,
    Selection,
    drop_tasks,
    list_tasks,
    replay_tasks,
)
from workqueue_worker.settlement import FRESH_COPY_AT

from tests.support.dead_letters_in_memory import DeadLetters


def listed(dead_letters: DeadLetters, selection: Selection) -> list[str]:
    lines: list[str] = []
    list_tasks(dead_letters, selection, lines.append)
    return [line.split("\t")[0] for line in lines[1:]]


def test_chosen_ids_are_looked_for_no_further_than_they_are_found() -> None:
    dead_letters = DeadLetters(*"abcdef")
    assert replay_tasks(dead_letters, "q", Selection(frozenset("bc"))) == 2
    assert (dead_letters.taken, dead_letters.ids) == (3, ["a", "d", "e", "f"])


def test_a_limit_holds_beside_ids_and_for_a_list() -> None:
    assert drop_tasks(DeadLetters(*"abc"), Selection(frozenset("abc"), limit=1)) == 1
    dead_letters = DeadLetters(*"abc")
    assert listed(dead_letters, Selection(frozenset("bc"), limit=1)) == ["b"]
    assert dead_letters.ids == ["a", "b", "c"]


@pytest.mark.parametrize("returned", [FRESH_COPY_AT, 19])
def test_what_came_back_often_is_renewed_before_anybody_looks_at_it(returned: int) -> None:
    """Each is then seen once, as a copy that no command has returned yet."""
    dead_letters = DeadLetters(*"abc", returned=returned)
    assert listed(dead_letters, Selection()) == ["a", "b", "c"]
    assert list(dead_letters.queue) == [("a", 1), ("b", 1), ("c", 1)]


def test_what_came_back_with_headers_that_cannot_be_read_is_renewed_as_its_count_may_be_among_them() -> None:
    dead_letters = DeadLetters("a", returned=1)
    dead_letters.unreadable.add("a")
    assert listed(dead_letters, Selection()) == ["a"]
    assert list(dead_letters.queue) == [("a", 1)]
    fresh = DeadLetters("b")
    fresh.unreadable.add("b")
    listed(fresh, Selection())
    assert fresh.unreadable == {"b"}


def test_what_arrives_during_a_replay_is_not_replayed() -> None:
    """It may be one that was replayed just now, and has failed again."""
    dead_letters = DeadLetters("a", "b")
    dead_letters.queue.append(("new", 0))
    assert replay_tasks(dead_letters, "q", Selection()) == 2
    assert dead_letters.ids == ["new"]


def test_a_failure_halfway_says_how_many_were_done_and_returns_the_rest() -> None:
    dead_letters = DeadLetters(*"abc", good=2)
    with pytest.raises(PartlyDone, match=r"^replayed 2, then: gone$"):
        replay_tasks(dead_letters, "q", Selection())
    assert dead_letters.ids == ["c"]


def test_a_list_that_cannot_be_written_returns_what_it_took() -> None:
    dead_letters = DeadLetters(*"abc")

    def write(text: str) -> None:
        if text.startswith("b"):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        list_tasks(dead_letters, Selection(), write)
    assert dead_letters.ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    "act", [drop_tasks, lambda dead_letters, which: replay_tasks(dead_letters, "q", which)], ids=["drop", "replay"]
)
def test_an_id_that_is_not_there_is_an_error_and_the_others_are_done(
    act: Callable[[DeadLetters, Selection], int],
) -> None:
    dead_letters = DeadLetters(*"abc")
    with pytest.raises(PartlyDone, match=r"^\w+ 1, then: no task with id no, such is there") as raised:
        act(dead_letters, Selection(frozenset({"b", "such", "no"})))
    assert isinstance(raised.value.__cause__, NoSuchTask)
    assert dead_letters.ids == ["a", "c"]


def test_an_id_that_is_not_there_is_an_error_of_a_list_too() -> None:
    dead_letters = DeadLetters(*"abc")
    with pytest.raises(NoSuchTask, match="no task with id nosuch is there"):
        listed(dead_letters, Selection(frozenset({"nosuch"})))
    assert dead_letters.ids == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["x-workqueue-queue", "x-first-death-queue"])
def test_a_replay_goes_to_the_queue_that_the_person_names_and_leaves_what_names_another(name: str) -> None:
    dead_letters = DeadLetters(*"abc")
    dead_letters.headers = {"b": {name: "payments\x1b[2J"}, "c": {name: "q"}}
    with pytest.raises(PartlyDone, match=r"^replayed 2; left 1 that name another queue: payments\\x1b\[2J \(1\)\."):
        replay_tasks(dead_letters, "q", Selection())
    assert (dead_letters.published, dead_letters.ids) == ([("q", "a"), ("q", "c")], ["b"])
    assert replay_tasks(dead_letters, "q", Selection(), any_origin=True) == 1
    assert dead_letters.published[-1] == ("q", "b")


def test_a_list_ends_when_its_reader_has_left() -> None:
    dead_letters = DeadLetters(*"abc")
    lines: list[str] = []

    def write(text: str) -> bool:
        lines.append(text)
        return not text.startswith("a")

    list_tasks(dead_letters, Selection(), write)
    assert len(lines) == 2
    assert dead_letters.ids == ["a", "b", "c"]


def test_a_key_is_chosen_as_it_is_printed() -> None:
    dead_letters = DeadLetters("evil\x1b[2J", "b")
    assert listed(dead_letters, Selection(frozenset({"evil\\x1b[2J"}))) == ["evil\\x1b[2J"]
    assert listed(dead_letters, Selection(frozenset({"evil\x1b[2J"}))) == ["evil\\x1b[2J"]
