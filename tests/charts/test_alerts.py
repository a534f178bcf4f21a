"""The alerts of the operator's chart, rendered by helm and read by promtool, which Prometheus comes with."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from workqueue_worker.metrics import WorkerMetrics

from dev.dashboards.names import known
from dev.dashboards.queries import reads
from tests.support.helm import Helm, Pick
from tests.support.prometheus_server import Promtool

CASES: dict[str, dict[str, list[dict[str, Any]]]] = yaml.safe_load(
    Path(__file__).with_name("alert_cases.yaml").read_text()
)
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
SCHEMA = Path(__file__).parents[2] / "charts" / "workqueue-operator" / "values.schema.json"
#: One word, as in `{{ $labels.namespace }}/{{ $labels.queue }}`.
LABEL = re.compile(r"\$labels\.(\w+)")

Rule = dict[str, Any]
#: The groups of rules that an install with these values makes.
Groups = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def groups(helm: Helm, one: Pick) -> Groups:
    """The groups of rules that an install with these values makes."""

    def rendered(**values: Any) -> list[dict[str, Any]]:
        objects = helm.template("workqueue-operator", {"prometheusRule": {"enabled": True, **values}})
        found: list[dict[str, Any]] = one(objects, "PrometheusRule")["spec"]["groups"]
        return found

    return rendered


def alerts(groups: list[dict[str, Any]]) -> list[Rule]:
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def recorded(groups: list[dict[str, Any]]) -> dict[str, str]:
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


def names(groups: list[dict[str, Any]]) -> set[str]:
    return {rule["alert"] for rule in alerts(groups)}


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))  # YAML is a superset of JSON
    return path


def test_there_are_no_rules_unless_they_are_asked_for(helm: Helm) -> None:
    assert not [item for item in helm.template("workqueue-operator") if item["kind"] == "PrometheusRule"]


@pytest.mark.parametrize("keep", [[], ["cluster", "region"]])
def test_prometheus_accepts_the_rules(groups: Groups, promtool: Promtool, tmp_path: Path, keep: list[str]) -> None:
    rules = written(tmp_path / "rules.yml", {"groups": groups(keepLabels=keep)})
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", rules)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_when_it_should_and_only_then(groups: Groups, promtool: Promtool, tmp_path: Path, alert: str) -> None:
    rendered = groups()
    severities = {rule["labels"]["severity"] for rule in alerts(rendered) if rule["alert"] == alert}
    (severity, *_) = severities
    for rule in alerts(rendered):
        rule["annotations"] = {"summary": rule["annotations"]["summary"]}
    written(tmp_path / "rules.yml", {"groups": rendered})
    cases = [case for kind in ("firing", "silent") for case in CASES[alert][kind]]
    files = [
        written(tmp_path / f"case-{number}.yml", case_file(case.get("every", "1m"), expected(alert, severity, case)))
        for number, case in enumerate(cases)
    ]
    done = promtool("test", "rules", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def case_file(every: str, *cases: dict[str, Any]) -> dict[str, Any]:
    """A file of tests as promtool reads it; `every`: how often the rules are evaluated."""
    return {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": cases}


def expected(alert: str, severity: str, case: dict[str, Any]) -> dict[str, Any]:
    """One of the cases in it."""
    fires = [
        {
            "exp_labels": {"severity": severity, **case["labels"], **more},
            "exp_annotations": {"summary": case["summary"]},
        }
        for more in ({}, *case.get("also", ()))
        if "summary" in case
    ]
    return {
        "name": case.get("why", "firing" if fires else "silent"),
        "interval": case.get("every", "1m"),
        "input_series": [{"series": name, "values": values} for name, values in case["series"].items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": alert, "exp_alerts": fires}],
    }


def test_each_alert_has_cases_and_no_other_has(groups: Groups) -> None:
    assert set(CASES) == names(groups())
    assert all(case["firing"] and case["silent"] for case in CASES.values())


def test_each_alert_says_where_what_and_how_urgent(groups: Groups) -> None:
    for rule in alerts(groups(runbookUrlPattern="https://docs.example.com/runbooks.md#%s")):
        name, annotations = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert "\n" not in annotations["summary"], name
        assert annotations["runbook_url"] == f"https://docs.example.com/runbooks.md#{name.lower()}"
        if name != "WorkQueueOperatorDown":  # of which there is neither a place nor a number
            assert "$labels" in annotations["summary"], name
            assert "$value" in annotations["description"], name


def test_without_a_pattern_no_alert_has_a_runbook_url(groups: Groups) -> None:
    assert not [rule for rule in alerts(groups()) if "runbook_url" in rule["annotations"]]


def test_metrics_and_labels_of_each_rule_exist(groups: Groups) -> None:
    rendered, exported = groups(), known()
    exported.update(dict.fromkeys(recorded(rendered), frozenset({"namespace", "queue"})))
    for rule in (rule for group in rendered for rule in group["rules"]):
        for read in reads(rule["expr"]):
            assert read.metric in exported, rule
            assert read.labels <= exported[read.metric], rule


def test_labels_in_the_texts_are_labels_of_the_alert(groups: Groups) -> None:
    rendered, exported = groups(), known()
    for rule in alerts(rendered):
        grouped = re.match(r"(?:sum|max|count) by \(([^)]*)\)", rule["expr"])
        first = reads(rule["expr"])[0].metric
        has = {*grouped[1].split(", ")} if grouped else exported.get(first, {"namespace", "queue"})
        assert {*LABEL.findall(str(rule["annotations"]))} <= {*has, *rule["labels"]}, rule["alert"]


def test_each_recorded_series_is_used(groups: Groups) -> None:
    rendered = groups()
    assert {read.metric for rule in alerts(rendered) for read in reads(rule["expr"])} >= set(recorded(rendered))


def test_kept_labels_are_in_each_grouping_and_join(groups: Groups) -> None:
    for rule in (rule for group in groups(keepLabels=["cluster", "region"]) for rule in group["rules"]):
        groupings = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", rule["expr"])
        assert all(text.startswith("cluster, region, ") for text in groupings), rule["expr"]
        assert "KEEP" not in str(rule)
    assert "(cluster" not in str(groups())


def test_with_a_kept_label_one_clusters_fault_is_not_anothers(
    groups: Groups, promtool: Promtool, tmp_path: Path
) -> None:
    """A queue of the same name in another cluster is paused, and its operator has the same address."""
    written(tmp_path / "rules.yml", {"groups": groups(keepLabels=["cluster"])})
    labels = 'namespace="team",workqueue="thumbnails",instance="op"'
    series = {
        f'workqueue_operator_queue_observed{{{labels},cluster="a"}}': "0+0x10",
        f'workqueue_operator_replicas{{{labels},cluster="a"}}': "1+0x10",
        f'workqueue_operator_queue_observed{{{labels},cluster="b"}}': "1+0x10",
        f'workqueue_operator_replicas{{{labels},cluster="b"}}': "0+0x10",
    }
    silent = [
        expected(name, "critical", {"series": series, "at": "8m"})
        for name in ("WorkQueueStopped", "WorkQueueTwoOperators")
    ]
    done = promtool("test", "rules", written(tmp_path / "cases.yml", case_file("1m", *silent)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_disabled_alert_is_left_out_and_no_other(groups: Groups) -> None:
    left_out = ["WorkQueueTasksStartLate", "WorkQueueTasksFail"]
    assert names(groups(disabled=left_out)) == names(groups()) - set(left_out)
    everything = sorted(names(groups()))
    assert not alerts(groups(disabled=everything))


def test_the_schema_knows_each_alert(groups: Groups) -> None:
    disabled = json.loads(SCHEMA.read_text())["properties"]["prometheusRule"]["properties"]["disabled"]
    assert set(disabled["items"]["enum"]) == names(groups())


def test_thresholds_are_those_of_the_values(groups: Groups) -> None:
    text = str(groups(oldestMessageSeconds=3_000_000, slo={"objective": 0.999, "waitSeconds": 2.5}))
    assert "oldest_message_age_seconds > 3000000\n" in text.replace("\\n", "\n")
    assert "the limit is 3000000 s" in text
    assert '{le="2.5"}' in text
    assert "ratio_rate1h > 14.4 * 0.001\n" in text.replace("\\n", "\n")
    assert not re.search(r"\b(KEEP|OLDEST|LATE)_?[A-Z]*\b", text)


def test_each_wait_that_may_be_promised_is_a_bound_of_the_histogram(groups: Groups) -> None:
    objective = json.loads(SCHEMA.read_text())["properties"]["prometheusRule"]["properties"]["slo"]
    samples = WorkerMetrics("q").registry.collect()
    bounds = {
        sample.labels["le"]
        for family in samples
        for sample in family.samples
        if sample.name.endswith("wait_seconds_bucket")
    }
    for seconds in objective["properties"]["waitSeconds"]["enum"]:
        (bound,) = {*re.findall(r'le="([^"]+)"', str(groups(slo={"waitSeconds": seconds})))}
        assert bound in bounds


def test_each_alert_has_a_heading_among_the_runbooks_and_each_heading_an_alert(groups: Groups) -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == names(groups())


def test_each_runbook_answers_the_same_questions() -> None:
    for part in RUNBOOKS.read_text().split("\n### ")[1:]:
        labels = re.findall(r"^\*\*([^*]+)\.\*\*", part, re.MULTILINE)
        assert labels == ["Meaning", "Impact", "Look", "Do", "False alarm"], part.split("\n")[0]
