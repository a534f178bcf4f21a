"""One tenant attacks; the neighbour's readings go on, and the process stays small."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import attack_world
from tests.support.attack_world import BROKER_ATTACKS, MANAGEMENT_ATTACKS, broker_secret, management_secret
from tests.support.hostile_broker import with_heartbeats
from tests.support.hostile_server import HostileServer, answer, http, read_head

ROOT = Path(__file__).parents[3]
#: The chart's limit for the operator's memory. The process of the tests holds the hostile server too.
MOST_MIB = 256


@pytest.mark.timeout(180)
def test_no_broker_and_no_management_api_cost_the_neighbour_a_reading_or_the_process_its_memory() -> None:
    """In a process of its own, whose memory is the operator's and that of the hostile server."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.attack_world"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"after {done.stdout}: {done.stderr[-3000:]}"
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end["attack"] for end in ends] == [*BROKER_ATTACKS, *MANAGEMENT_ATTACKS]
    assert max(end["peak_mib"] for end in ends) < MOST_MIB, ends


async def test_an_answer_of_a_management_api_is_reported_to_those_it_concerns() -> None:
    with HostileServer(http(answer(b"[" * 100_000, "404 Not Found"))) as server:
        async with attack_world.attack_world(management_secret(server)) as world:
            message = await world.reported_of_management(server)
            await world.operator.until(
                lambda: world.operator.condition("PolicyApplied").get("reason") == "ManagementApiUnavailable",
                "the condition",
            )
    assert message.endswith("/api/queues/%2F answers 404 Not Found")


async def test_a_redirection_is_not_followed_and_nothing_of_a_page_is_shown() -> None:
    with HostileServer(http(answer(b"internal-only: token=AKIA-INTERNAL"))) as internal:
        place = f"http://127.0.0.1:{internal.port}/"
        moved = answer(b"internal-only: token=AKIA-INTERNAL", "307 Temporary Redirect", Location=place)
        with HostileServer(http(moved)) as server:
            async with attack_world.attack_world(management_secret(server)) as world:
                message = await world.reported_of_management(server)
        assert internal.visits == 0
        assert "answers 307 Temporary Redirect" in message
        assert "AKIA" not in message


async def test_rabbitmqs_own_words_are_shown_on_one_line_and_cut() -> None:
    words = {"error": "bad_request", "reason": "line one\n\x1b[2J" + "x" * 1000}
    with HostileServer(http(answer(json.dumps(words).encode(), "400 Bad Request"))) as server:
        async with attack_world.attack_world(management_secret(server)) as world:
            message = await world.reported_of_management(server)
    assert "answers 400 Bad Request: line one [2Jxxx" in message
    assert "\n" not in message
    assert len(message) < 600


async def test_a_cookie_of_one_server_reaches_no_other_and_not_even_itself() -> None:
    heads: list[bytes] = []

    def talk(client: socket.socket) -> None:
        heads.append(read_head(client))
        client.sendall(answer(b"[]", Set_Cookie="evil=" + "x" * 4000))

    with HostileServer(talk) as server:
        async with attack_world.attack_world(management_secret(server)) as world:
            await world.operator.until(lambda: len(heads) > 2, "it is asked once more after both answers")
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_server_that_says_nothing_is_said_to_have_timed_out() -> None:
    def talk(client: socket.socket) -> None:
        while client.recv(65536):  # till the other side has had enough
            pass

    with HostileServer(talk) as silent:
        async with attack_world.attack_world(management_secret(silent)) as world:
            message = await world.reported_of_management(silent)
    assert "timed out after 5 s" in message


async def test_a_broker_that_lives_and_answers_nothing_is_left_and_connected_with_again() -> None:
    """A hung channel, or one bad node of three: no thread or socket stays behind, and another connection may work."""
    with HostileServer(with_heartbeats) as server:
        threads = threading.active_count()
        async with attack_world.attack_world(broker_secret(server), amqp=True) as world:
            await world.reported_of_broker(server, "did not answer within 5 s")
            await world.operator.until(lambda: server.visits >= 2, "it is connected with again")
            await world.operator.until(lambda: server.open == 1, "the first connection was given back")
            await world.readings_go_on()
        await world.operator.until(lambda: server.open == 0, "the second was given back too")
        assert [one for one in threading.enumerate() if "queue-reader" in one.name] == []
        assert threading.active_count() <= threads + 8  # the server's own, and the event loop's few
