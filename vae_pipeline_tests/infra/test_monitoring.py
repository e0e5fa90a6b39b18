"""Dashboards and alert rules over metrics that were really scraped by Prometheus from services that really run."""

import json
import math
import re
import shutil
import subprocess

import pytest
import yaml

from infra.services.program import where
from vae_pipeline_tests.infra.files import DASHBOARDS, INFRA, PROMETHEUS, alert_rules, queries, read_yaml
from vae_pipeline_tests.infra.monitored import monitored

needs_prometheus = pytest.mark.skipif(
    not (where("prometheus") and where("promtool")), reason="no Prometheus is installed: apt-get install prometheus"
)

# what Grafana puts in place of its variables
CHOSEN = {"$line": ".*", "$dataset": ".*", "$job": ".*", "$__rate_interval": "1m"}
METRIC = re.compile(r"\b(?:vae_|bentoml_)[a-z_]+")


@pytest.fixture(scope="module")
def monitor(packed_table, tmp_path_factory):
    with monitored(packed_table, tmp_path_factory.mktemp("monitored")) as monitor:
        yield monitor


def chosen(query):
    for name, value in CHOSEN.items():
        query = query.replace(name, value)
    return query


@needs_prometheus
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_returns_data(monitor, dashboard):
    found = {f"{title}: {query}": monitor.values(chosen(query)) for title, query in queries(dashboard)}
    assert len(found) > 10
    assert [query for query, values in found.items() if not any(math.isfinite(value) for value in values)] == []


@needs_prometheus
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_choice_of_a_dashboard_has_something_to_choose(monitor, dashboard):
    listed = json.loads(dashboard.read_text())["templating"]["list"]
    for variable in listed:
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
        assert monitor.asked("series", **{"match[]": chosen(series)})
        assert all(label in each for each in monitor.asked("series", **{"match[]": chosen(series)}))


@needs_prometheus
def test_alert_rules_name_metrics_that_exist(monitor):
    there = set(monitor.asked("label/__name__/values"))
    named = {name for rule in alert_rules() for name in METRIC.findall(rule["expr"])}
    assert len(named) > 10
    assert named - there == set()


@needs_prometheus
def test_alert_rules_are_judged_without_error(monitor):
    judged = [rule for group in monitor.asked("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in judged} == {rule["alert"] for rule in alert_rules()}
    assert [rule["lastError"] for rule in judged if rule["health"] == "err"] == []


@needs_prometheus
def test_drift_that_was_found_is_an_alert(monitor):
    firing = monitor.asked("query", query='ALERTS{alertname="DriftFound",alertstate="firing"}')["result"]
    assert [alert["metric"]["dataset"] for alert in firing] == ["bottle"]


@needs_prometheus
def test_a_run_that_failed_before_prometheus_looked_is_an_alert(monitor):
    firing = monitor.asked("query", query='ALERTS{alertname="RunsFail",alertstate="firing"}')["result"]
    assert [alert["metric"]["job"] for alert in firing] == ["vision"]


@needs_prometheus
def test_services_are_scraped_with_the_token_and_labelled_by_line(monitor):
    assert monitor.values('up{job="services",line="timeseries"}') == [1.0]


@needs_prometheus
def test_alert_rules_are_told_when_they_should_and_only_then(tmp_path):
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    shutil.copy(INFRA.parent / "vae_pipeline_tests/infra/alerts.test.yml", tmp_path)
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_prometheus_accepts_its_configuration(tmp_path):
    stated = read_yaml(PROMETHEUS / "prometheus.yml")
    token = tmp_path / "token"
    token.write_text("any")
    for job in stated["scrape_configs"]:
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(token)
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(stated))
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_told_and_untold():
    tests = read_yaml(INFRA.parent / "vae_pipeline_tests/infra/alerts.test.yml")["tests"]
    tried = [each for test in tests for each in test["alert_rule_test"]]
    told = {each["alertname"] for each in tried if each["exp_alerts"]}
    assert told == {rule["alert"] for rule in alert_rules()}
    # an alert that is told of one series and not of the other beside it is tried both ways at once
    series = {test["name"]: len(test["input_series"]) for test in tests}
    untold = {each["alertname"] for each in tried if not each["exp_alerts"]}
    beside = {each["alertname"] for test in tests if series[test["name"]] > 1 for each in test["alert_rule_test"]}
    assert told - untold - beside == set()


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_dashboards_ask_the_data_source_that_is_provisioned():
    provisioned = read_yaml(INFRA / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    asked = {uid for path in DASHBOARDS for uid in re.findall(r'"uid": "(prometheus|\$.*?)"', path.read_text())}
    assert asked == {source["uid"] for source in provisioned}


def test_dashboards_have_names_of_their_own_and_no_panel_twice():
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert {board["title"] for board in boards} == {"Serving", "Models", "Pipeline"}
    assert len({board["uid"] for board in boards}) == len(boards)
    for board in boards:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
