"""What `--rabbitmq` may name, and which container comes of it."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from workqueue_operator.local.own_broker import IMAGE

from tests.support.rabbitmq_choice import choices, image, name_of, numbers
from tests.support.rabbitmq_container import LABEL, create_command
from tests.support.rabbitmq_given import Given
from tests.support.rabbitmq_node import Ports

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("3.10", None),
        ("docker:3.10", "rabbitmq:3.10-management"),
        ("docker:4", "rabbitmq:4-management"),
        ("docker:rabbitmq:4.1-management-alpine", "rabbitmq:4.1-management-alpine"),
        ("docker:registry.example/rabbitmq", "registry.example/rabbitmq"),
    ],
)
def test_a_number_after_docker_is_the_official_image_and_anything_else_is_an_image(
    choice: str, name: str | None
) -> None:
    assert image(choice) == name


def test_the_tests_and_local_name_the_same_official_image() -> None:
    assert image("docker:4") == IMAGE


def test_the_newest_is_found_among_versions_and_images() -> None:
    """An image whose tag has no number is never the newest beside one that has."""
    given = choices("docker:3.10,docker:registry.example:5000/rabbitmq 4.0, docker:rabbitmq:latest")
    assert max(given, key=numbers) == "4.0"
    assert max(["docker:3.10", "docker:4.0"], key=numbers) == "docker:4.0"
    assert numbers("docker:rabbitmq:4.1-management-alpine") == [4, 1]


def test_a_container_publishes_its_ports_on_loopback_alone_and_carries_the_label() -> None:
    command = create_command("name", "rabbitmq:4-management", "127.0.0.1", Ports(1, 2, 3, 4, 5))
    published = [word for before, word in pairwise(command) if before == "--publish"]
    assert published == ["127.0.0.1:1:1", "127.0.0.1:2:2", "127.0.0.1:3:3"]
    assert command[command.index("--label") + 1] == LABEL
    assert command[-1] == "rabbitmq:4-management"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("choice", "words"),
    [("3.9", "docker:4.0"), ("docker:4.0", "there is no program docker on the PATH")],
)
def test_what_cannot_be_had_is_a_skip_that_names_what_else_there_is(tmp_path: Path, choice: str, words: str) -> None:
    (tmp_path / "test_suite.py").write_text("def test_of_the_broker(rabbitmq): ...\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    flags = ["-o", "asyncio_default_fixture_loop_scope=function", "--rabbitmq", choice, str(tmp_path)]
    done = subprocess.run(
        [*command, *flags], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "1 skipped" in done.stdout, done.stdout + done.stderr
    assert words in done.stdout


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("amqp://guest:s3cret@rabbitmq.example/", "the tests need amqp:// on 127.0.0.1; forward the ports"),
        ("amqps://guest:s3cret@127.0.0.1/", "the tests need amqp:// on 127.0.0.1"),
        ("amqp://guest:s3cret@127.0.0.1/jobs", "name no virtual host"),
        ("amqp://guest:s3cret@127.0.0.1/?heartbeat=5", "management_port is the only parameter"),
    ],
)
def test_an_address_that_the_tests_cannot_use_is_refused_without_its_password(uri: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        Given.parse(uri)
    assert "s3cret" not in str(raised.value)


def test_an_address_says_where_amqp_and_the_management_api_are() -> None:
    given = Given.parse("amqp://orders:a%2Fb@localhost:5673/?management_port=15673")
    assert given == Given(5673, 15673, "orders", "a/b")
    assert Given.parse("amqp://127.0.0.1") == Given(5672, 15672, "guest", "guest")
    assert "a/b" not in repr(given)


def test_an_address_is_no_part_of_a_tests_name() -> None:
    assert name_of("amqp://orders:s3cret@127.0.0.1/") == "given"
    assert name_of("docker:4.0") == "docker:4.0"
    assert max(["amqp://127.0.0.1", "4.0"], key=numbers) == "4.0"
