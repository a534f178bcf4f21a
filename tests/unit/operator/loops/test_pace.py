"""How often a queue is asked for: a broker's log gets one error for each question about one that cannot be used."""

from dataclasses import replace

from workqueue_broker.declaration import Declare, QueueCounts, QueueDeclaration
from workqueue_broker.errors import BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_operator.loops.pace import FASTEST_SECONDS, UNUSABLE_CAP_SECONDS, Pace
from workqueue_operator.rabbitmq.queue_reader import QueueReading
from workqueue_operator.resource import Key, QueueSpec

QUEUE = QueueSpec(QueueDeclaration("jobs"), Declare.NEVER, "jobs.dead", 20, None, None)
ASKED = (Key("team", "jobs"), QUEUE)


def questions(pace: Pace, seconds: float, answer: object, poll: float = 1.0) -> int:
    """So many in these seconds, each with this answer."""
    asked, now = 0, 0.0
    while now < seconds:
        pace.answered(ASKED, answer)
        asked, now = asked + 1, now + pace.seconds(ASKED, poll, 1)
    return asked


def test_a_queue_that_can_be_read_is_asked_for_five_times_a_second() -> None:
    assert questions(Pace(), 20, QueueReading(QueueCounts(0, 0))) >= 20 / FASTEST_SECONDS


def test_a_queue_that_cannot_be_used_is_asked_for_less_and_less() -> None:
    for trouble in (QueueMissing("404"), QueueMismatch("406")):
        pace = Pace()
        assert questions(pace, 20, trouble) <= 8
        assert pace.rests(ASKED)
        assert pace.seconds(ASKED, 1.0, 1) == UNUSABLE_CAP_SECONDS


def test_no_more_often_than_its_user_wants() -> None:
    assert questions(Pace(), 240, QueueMissing("404"), poll=60) == 4


def test_one_that_is_there_again_or_has_another_spec_is_asked_for_as_before() -> None:
    pace = Pace()
    questions(pace, 60, QueueMissing("404"))
    other = (ASKED[0], replace(QUEUE, declare=Declare.CREATE))
    assert pace.seconds(other, 1.0, 1) == FASTEST_SECONDS
    pace.answered(ASKED, QueueReading(QueueCounts(0, 0)))
    assert pace.seconds(ASKED, 1.0, 1) == FASTEST_SECONDS


def test_a_broker_that_is_away_changes_nothing_about_a_queue() -> None:
    pace = Pace()
    questions(pace, 60, QueueMissing("404"))
    pace.answered(ASKED, BrokerUnavailable("away"))
    assert pace.rests(ASKED)


def test_what_is_no_longer_asked_for_is_forgotten() -> None:
    pace = Pace()
    questions(pace, 60, QueueMissing("404"))
    pace.keep(set())
    assert not pace.rests(ASKED)
