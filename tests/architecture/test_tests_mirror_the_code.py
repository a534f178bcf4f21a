"""Each module has the test file of its name, in the folder of its name, or a reason here.

`operator/workqueue_operator/scaling/decision.py` is tested by `tests/unit/operator/scaling/test_decision.py`. A module
without such a file is in `ELSEWHERE`: with the tests that a reader looks for, or the reason why there are none.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("operator", "worker", "producer", "broker")

#: By module, as part/folder/name.
ELSEWHERE = {
    "operator/__main__": "tests/unit/test_leaving_early.py, and explain: tests/cluster/test_explained_scaling.py",
    "operator/assembly": "the image's process: tests/unit/test_leaving_early.py and tests/cluster/test_main_job.py",
    "operator/clock": "asks Python's clocks and computes nothing",
    "operator/memory": "fields that the passes keep: tests/unit/operator/passes/test_a_pass.py",
    "operator/totals": "counted by passes, read as metrics: tests/unit/operator/test_metrics.py",
    "operator/tracked": "kept by the store: tests/unit/operator/test_store.py",
    "operator/web": "by what asks with it: tests/unit/operator/cluster/test_worker_page.py, "
    "tests/unit/operator/rabbitmq/test_management_api.py and tests/unit/operator/test_under_attack.py",
    "operator/wiring": "all tests of passes run it: tests/support/passes.py, tests/unit/operator/loops/test_border.py",
    "operator/workqueue_metrics": "one page with the other metrics: tests/unit/operator/test_metrics.py",
    "operator/cluster/kubernetes_cluster": "over HTTP: tests/unit/operator/cluster/test_kubernetes_api.py, and on a "
    "real API server: tests/cluster/test_cluster_contract.py",
    "operator/cluster/local/local_cluster": "by the scenarios of a cluster: "
    "tests/unit/operator/cluster/test_cluster_contract.py, and with real workers: tests/broker/test_local.py",
    "operator/cluster/local/local_pod": "with real workers: tests/broker/test_local.py",
    "operator/cluster/port": "a protocol: tests/cluster/test_cluster_contract.py holds its fake and its adapter to it",
    "operator/cluster/local/pod_facts": "by the containers that ask: tests/unit/operator/cluster/local/test_launch.py",
    "operator/local/board": "with real workers: tests/broker/test_local_board.py",
    "operator/local/interruption": "signals to the real process: tests/broker/test_local.py",
    "operator/local/local_operator": "the real process: tests/broker/test_local.py",
    "operator/local/options": "flags alone: tests/unit/operator/local/test_command.py",
    "operator/loops/broker_loop": "tests/unit/operator/loops/test_late_answers.py, and on real brokers: "
    "tests/broker/test_unknown_is_never_zero.py",
    "operator/loops/pass_starter": "with the border of the loops: tests/unit/operator/loops/test_border.py",
    "operator/loops/scheduler": "tests/unit/operator/loops/test_late_answers.py, and on real brokers: "
    "tests/broker/test_unknown_is_never_zero.py",
    "operator/passes/apply": "by rule: tests/unit/operator/passes/test_scale_down.py and "
    "tests/unit/operator/passes/test_refused_requests.py",
    "operator/passes/asking": "by rule: tests/unit/operator/passes/test_workers_silent.py",
    "operator/passes/gather": "by rule: tests/unit/operator/passes/test_size_by_hand.py and "
    "tests/unit/operator/passes/test_standing_back.py",
    "operator/passes/marks": "by rule: tests/unit/operator/passes/test_scale_down.py",
    "operator/passes/reconcile": "whole passes: tests/unit/operator/passes/test_a_pass.py",
    "operator/passes/refusal_log": "by rule: tests/unit/operator/passes/test_refused_requests.py",
    "operator/passes/report": "by rule: tests/unit/operator/passes/test_reporting.py",
    "operator/passes/victim_watch": "by rule: tests/unit/operator/passes/test_victims_counted.py",
    "operator/rabbitmq/queue_reader": "on real brokers, with its fake: tests/broker/test_queue_reader.py; cancelled: "
    "tests/unit/operator/rabbitmq/test_queue_reader_cancelled.py",
    "worker/__main__": "the command line as a process: tests/unit/worker/test_process.py",
    "worker/assembly": "the worker as a process: tests/unit/worker/test_process.py; its port: "
    "tests/unit/worker/test_probes.py",
    "worker/checks": "on real brokers: tests/broker/test_worker_checks.py",
    "worker/connection_report": "as the consumer's changes: tests/unit/worker/test_consumer.py; in words, on real "
    "brokers: tests/broker/test_worker_connection.py",
    "worker/delivery": "a value; how it is parsed: tests/unit/worker/amqp/test_headers.py",
    "worker/early_signals": "signals before there is a worker: tests/unit/test_leaving_early.py",
    "worker/init_process": "as process 1: tests/unit/worker/test_process.py",
    "worker/link": "a protocol; the real one: tests/broker/test_worker_link.py",
    "worker/process_end": "the end of a process: tests/unit/worker/test_process.py",
    "worker/amqp/consumer_link": "on real brokers: tests/broker/test_worker_link.py and tests/broker/test_steps.py",
    "worker/amqp/copy_link": "on real brokers: tests/broker/test_worker_copies_refused.py",
    "worker/amqp/dead_letter_queue": "on real brokers: tests/broker/test_worker_dead_letters.py",
    "worker/amqp/permissions": "on real brokers: tests/broker/test_worker_checks.py",
    "worker/amqp/queues": "on real brokers: tests/broker/test_unusable_queues.py",
    "worker/amqp/session": "on real brokers: tests/broker/test_steps.py",
    "producer/__main__": "as a process: tests/broker/test_producer_new_task.py and tests/unit/test_leaving_early.py",
    "producer/errors": "exceptions; which one follows from what: tests/broker/test_producer_publisher.py",
    "producer/interruption": "as the source's waits: tests/unit/producer/test_source.py",
    "producer/metrics": "all parts on their pages: tests/unit/test_metric_names.py; counted on real brokers: "
    "tests/broker/test_producer_publisher.py",
    "producer/new_task": "on real brokers: tests/broker/test_producer_new_task.py and "
    "tests/broker/test_producer_resend.py",
    "producer/publisher": "on real brokers: tests/broker/test_producer_publisher.py",
    "producer/task": "values; their properties: tests/unit/producer/amqp/test_properties.py",
    "producer/amqp/link": "on real brokers: tests/broker/test_producer_publisher.py and tests/broker/test_steps.py",
    "broker/answering": "on real brokers: tests/broker/test_steps.py",
    "broker/asyncio_connection": "on real brokers: tests/broker/test_connection_errors.py",
    "broker/connection": "on real brokers: tests/broker/test_connection_errors.py and tests/broker/test_steps.py",
    "broker/declaration": "on real brokers: tests/broker/test_queue_names.py and tests/broker/test_unusable_queues.py",
    "broker/errors": "exceptions; which one a broker's answer becomes: tests/broker/test_connection_errors.py",
    "broker/headers": "names alone; on their way through a copy: tests/unit/worker/amqp/test_headers.py",
    "broker/joined": "on real brokers: tests/broker/test_connection_errors.py",
    "broker/private_keys": "tests/unit/broker/test_secret_bounds.py",
    "broker/tls": "tests/unit/broker/test_secret_bounds.py, and with a real broker: tests/broker/test_worker_tls.py",
    "broker/uri_parts": "tests/unit/broker/test_address.py and tests/unit/broker/test_environment.py",
}


def modules_of(part: str) -> list[str]:
    """Every module of a part, as `operator/scaling/decision`."""
    package = ROOT / part / f"workqueue_{part}"
    paths = sorted(path for path in package.rglob("*.py") if path.name != "__init__.py")
    return [f"{part}/{path.relative_to(package).with_suffix('').as_posix()}" for path in paths]


MODULES = [module for part in PARTS for module in modules_of(part)]


def file_of(module: str) -> Path:
    """Where the tests of a module lie."""
    path = ROOT / "tests" / "unit" / module
    return path.with_name(f"test_{path.name}.py")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_test_file_of_its_name_or_a_reason(module: str) -> None:
    remedy = f"write {file_of(module).relative_to(ROOT)}, or give the reason in ELSEWHERE, of {Path(__file__).name}"
    assert file_of(module).exists() or module in ELSEWHERE, f"{module} has no test file of its name: {remedy}"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_a_reason_is_of_a_module_without_a_test_file_and_names_tests_that_exist(module: str) -> None:
    assert module in MODULES, f"{module} is no module any more: take it out of ELSEWHERE"
    assert not file_of(module).exists(), f"{module} has the test file of its name: take it out of ELSEWHERE"
    named = re.findall(r"tests/[\w/]+\.py", ELSEWHERE[module])
    assert [name for name in named if not (ROOT / name).exists()] == []
