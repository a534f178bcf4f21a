"""The operator's settings: each variable, its default, and the error that names it and the remedy."""

import pytest
from workqueue_operator.settings import InvalidSetting, Settings


def message_of(**environment: str) -> str:
    """The error of an environment."""
    with pytest.raises(InvalidSetting) as raised:
        Settings.from_environment(environment)
    return str(raised.value)


def test_without_variables_it_watches_the_whole_cluster() -> None:
    assert Settings.from_environment({}) == Settings(namespaces=(), metrics_port=8080, log_format="text")


def test_each_variable_sets_its_own() -> None:
    environment = {"WATCH_NAMESPACES": "team, other,", "METRICS_PORT": "9090", "LOG_FORMAT": "json"}
    assert Settings.from_environment(environment) == Settings(("team", "other"), 9090, "json")


@pytest.mark.parametrize("empty", ["", "\n"])
def test_an_empty_variable_is_one_that_is_not_set(empty: str) -> None:
    environment = dict.fromkeys(("WATCH_NAMESPACES", "METRICS_PORT", "LOG_FORMAT"), empty)
    assert Settings.from_environment(environment) == Settings()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8080.0", "http", "٨٠"])
def test_a_port_that_cannot_be_used_is_shown_with_the_remedy(port: str) -> None:
    assert message_of(METRICS_PORT=port) == f"METRICS_PORT is {port!r}: set a number from 1 to 65535"


def test_a_port_of_very_many_digits_is_an_error_too_and_is_cut() -> None:
    """int() raises on more than 4300 digits."""
    assert message_of(METRICS_PORT="9" * 5000) == f"METRICS_PORT is '{'9' * 40}…': set a number from 1 to 65535"


def test_the_port_of_a_service_named_metrics_names_the_cause() -> None:
    assert message_of(METRICS_PORT="tcp://10.96.0.7:80") == (
        "METRICS_PORT is 'tcp://10.96.0.7:80': set a number from 1 to 65535: Kubernetes sets this for a Service named "
        "'metrics'; set enableServiceLinks: false in the pod, rename the Service, or set METRICS_PORT in the pod"
    )


@pytest.mark.parametrize("log_format", ["JSON", "logfmt", " text"])
def test_a_log_format_that_is_none_is_shown_with_the_two_that_are(log_format: str) -> None:
    assert message_of(LOG_FORMAT=log_format) == f"LOG_FORMAT is {log_format!r}: set text or json"
