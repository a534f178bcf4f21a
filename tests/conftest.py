"""Fixtures with a real broker, and the markers: a test's folder says what it needs, no marker is written by hand."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueType

from dev.prometheus import Programs
from tests.support.given_node import needs_own
from tests.support.network_link import NetworkLink
from tests.support.prometheus_server import Promtool, ensure_programs
from tests.support.rabbitmq_choice import choices, ensure, is_given, name_of, numbers
from tests.support.rabbitmq_given import Given, GivenRabbitMQ
from tests.support.rabbitmq_server import RabbitMQServer, running
from tests.support.rabbitmq_versions import NotInstallable, not_installable

# Properties are about values: how long an example took on a busy machine fails no test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For a second run of the same rules on another Python, where the search for cases was the first run's.
settings.register_profile("few", settings.get_profile("untimed"), max_examples=10)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
#: The exit code when a test marked `once` failed, so that it is not run again; pytest's own codes end at 5.
EXIT_STANDS = 10
MARKED_FOLDERS = ("broker", "cluster")
#: Seconds; a test with a real broker may have to start one on a busy machine.
BROKER_TEST_TIMEOUT = 180


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rabbitmq",
        default="3.10",
        help="what to test with, such as 3.10,4.0 or docker:4.0 or amqp://guest:guest@127.0.0.1",
    )
    parser.addoption("--rounds", type=int, default=1, help="how often each test marked `kills` repeats its faults")


def pytest_configure(config: pytest.Config) -> None:
    try:
        for given in filter(is_given, _versions(config)):
            Given.parse(given)
    except ValueError as problem:
        raise pytest.UsageError(str(problem)) from None
    if any(map(is_given, _versions(config))):
        # A test that is skipped halfway leaves programs and connections that Python reports in the tests after it.
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _is_for_many_rounds(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
        if folder == "broker" and item.get_closest_marker("timeout") is None:
            times = item.config.getoption("--rounds") if item.get_closest_marker("kills") else 1
            item.add_marker(pytest.mark.timeout(BROKER_TEST_TIMEOUT * times))


def _is_for_many_rounds(item: pytest.Item) -> bool:
    """Whether a test marked `kills` has a version and a type of queue that its one round leaves to `make test-kills`.

    One round has each version and each type once: the newest RabbitMQ with quorum queues, an older with classic ones.
    """
    versions = _versions(item.config)
    if not item.get_closest_marker("kills") or item.config.getoption("--rounds") > 1 or len(versions) == 1:
        return False
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    types = [value for value in parameters.values() if isinstance(value, QueueType)]
    is_newest = parameters.get("rabbitmq_version") == max(versions, key=numbers)
    return types == [QueueType.CLASSIC if is_newest else QueueType.QUORUM]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs on every version, but one marked `any_rabbitmq` on the newest alone."""
    if "rabbitmq_version" not in metafunc.fixturenames:
        return
    versions = _versions(metafunc.config)
    if metafunc.definition.get_closest_marker("any_rabbitmq"):
        versions = [max(versions, key=numbers)]
    metafunc.parametrize("rabbitmq_version", versions, ids=map(name_of, versions), scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what is missing before the first test, as no test's timeout covers that."""
    if session.config.option.collectonly:
        return
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    # What cannot be had, each test says by itself, as a skip or a failure.
    with suppress(NotInstallable):
        for version in _versions(session.config) if "rabbitmq_version" in used else ():
            ensure(version)
        if "link" in used:
            NetworkLink.install()
        if "prometheus_programs" in used:
            ensure_programs()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    failed = [*reporter.stats.get("failed", ()), *reporter.stats.get("error", ())] if reporter else []
    if any(_stands(report) for report in failed):
        session.exitstatus = EXIT_STANDS


def _stands(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether a test's failure is final. pytest-xdist reports one whose process died without its markers, as "???"."""
    return isinstance(report, pytest.TestReport) and ("once" in report.keywords or str(report.when) == "???")


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """The broker that most tests share, each on a virtual host of its own; no test stops it or raises its alarms."""
    if is_given(rabbitmq_version):
        with closing(GivenRabbitMQ(rabbitmq_version)) as given:
            yield given.start()
        return
    with running(tmp_path_factory.mktemp("rabbitmq"), rabbitmq_version) as server:
        yield server


@pytest.fixture(scope="session")
def _stoppable_rabbitmq(rabbitmq_version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """One for all tests that stop a broker, as a start costs seconds."""
    if is_given(rabbitmq_version):
        needs_own("it is stopped, killed, frozen or alarmed")
    with running(tmp_path_factory.mktemp("stoppable"), rabbitmq_version) as server:
        yield server


@pytest.fixture
def own_rabbitmq(_stoppable_rabbitmq: RabbitMQServer) -> RabbitMQServer:
    """A broker for this test alone, to be stopped, killed and alarmed; its default virtual host is empty."""
    _stoppable_rabbitmq.renew()
    return _stoppable_rabbitmq


@pytest.fixture
def broker(rabbitmq: RabbitMQServer) -> BrokerAddress:
    """An empty virtual host."""
    return rabbitmq.address(rabbitmq.new_vhost())


@pytest.fixture(scope="session")
def prometheus_programs() -> Programs:
    """Prometheus and promtool; where they cannot be had the test is skipped, or fails in CI."""
    try:
        return ensure_programs()
    except NotInstallable as problem:
        not_installable(problem)


@pytest.fixture(scope="session")
def promtool(prometheus_programs: Programs) -> Promtool:
    return Promtool(prometheus_programs.promtool)


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    """How often a test marked `kills` repeats its faults: once in the suite, more often in `make test-kills`."""
    return int(pytestconfig.getoption("--rounds"))


def _versions(config: pytest.Config) -> list[str]:
    return choices(str(config.getoption("--rabbitmq")))
