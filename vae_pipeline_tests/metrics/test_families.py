"""What champions, drift reports and alerts become as metrics; odd and missing values become none."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.services.program import free_port
from vae_pipeline.alerts.deliver import deliver
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.metrics.alerts import alert_metrics
from vae_pipeline.metrics.champions import champion_metrics
from vae_pipeline.metrics.drift import drift_metrics
from vae_pipeline.registry.shelf import ShelfEntry
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.alerts.builders import Webhook, alert, settings


def samples(families):
    """Name and label values, by the labels' names, to value; through Prometheus' own text format."""
    registry = CollectorRegistry()

    class Given:
        def collect(self):
            return list(families)

    registry.register(Given())
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def entry(version, aliases=(), **metrics):
    names = {"line": "timeseries", "dataset": "FD001", "data_version": "", "evaluation_version": "", "run_id": ""}
    created = "2026-03-01T00:00:00+00:00"
    return ShelfEntry(
        name="timeseries-FD001", version=version, aliases=aliases, created=created, metrics=metrics, **names
    )


class Shelf:
    def __init__(self, *entries):
        self.found = entries

    def entries(self):
        return list(self.found)


class TestChampions:
    def test_have_version_age_and_test_metrics(self):
        shelf = Shelf(entry(3, ("challenger",), test_f1=0.1), entry(2, ("champion",), test_f1=0.8, loss=1.0))
        found = samples(champion_metrics(shelf))
        assert found == {
            ("vae_pipeline_champion_version", "FD001", "timeseries"): 2,
            ("vae_pipeline_champion_created_timestamp_seconds", "FD001", "timeseries"): 1772323200.0,
            ("vae_pipeline_champion_test_metric", "FD001", "timeseries", "f1"): 0.8,
            ("vae_pipeline_model_versions", "FD001", "timeseries"): 2,
        }

    def test_figures_that_are_none_are_left_out(self):
        found = samples(champion_metrics(Shelf(entry(1, ("champion",), test_f1=float("nan")))))
        assert not [key for key in found if key[0] == "vae_pipeline_champion_test_metric"]

    def test_an_empty_registry_has_none(self):
        assert samples(champion_metrics(Shelf())) == {}


class TestDrift:
    @pytest.fixture
    def storage(self):
        return open_storage(load_settings())

    def write(self, storage, day, text, dataset="FD001"):
        storage.write_text(f"reports/drift/timeseries/{dataset}/{day}/drift.json", text)

    def test_of_the_newest_report_is_told(self, storage):
        statistic = {"family": "scores", "name": "ks", "value": 0.4, "p_value": 0.01}
        report = {
            "verdict": "drift",
            "rows": 500,
            "alarm_share": None,
            "families": [{"name": "scores", "adjusted": 0.003}],
            "statistics": [statistic, {"name": "psi"}, "odd"],
            "what is this": {},
        }
        self.write(storage, "2026-03-01", json.dumps({"verdict": "no_drift"}))
        self.write(storage, "2026-03-02", json.dumps(report))
        assert samples(drift_metrics(storage)) == {
            ("vae_pipeline_drift_detected", "FD001", "timeseries"): 1,
            ("vae_pipeline_drift_day_timestamp_seconds", "FD001", "timeseries"): 1772409600.0,
            ("vae_pipeline_drift_predictions", "FD001", "timeseries"): 500,
            ("vae_pipeline_drift_p_value", "FD001", "scores", "timeseries"): 0.003,
            ("vae_pipeline_drift_statistic", "FD001", "scores", "timeseries", "ks"): 0.4,
        }

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"drifted": "?", "statistics": 3, "families": [1]}'])
    def test_odd_reports_become_no_verdict(self, storage, text):
        self.write(storage, "2026-03-02", text)
        assert ("vae_pipeline_drift_detected", "FD001", "timeseries") not in samples(drift_metrics(storage))

    def test_a_damaged_report_leaves_the_one_before(self, storage):
        self.write(storage, "2026-03-01", '{"drifted": false}')
        self.write(storage, "2026-03-02", "{")
        assert samples(drift_metrics(storage))["vae_pipeline_drift_detected", "FD001", "timeseries"] == 0

    def test_without_reports_there_are_none(self, storage):
        assert samples(drift_metrics(storage)) == {}


class TestAlerts:
    def test_are_counted_by_kind_and_channel(self):
        with Webhook().running() as webhook:
            chosen = settings(webhook.address, f"json://127.0.0.1:{free_port()}/")
            outbox = open_outbox(chosen)
            outbox.add([alert("a"), alert("b", kind="data", severity="info")])
            deliver(chosen)
            found = samples(alert_metrics(outbox))
        assert found["vae_pipeline_alerts_total", "drift", "warning"] == 1
        assert found["vae_pipeline_alerts_total", "data", "info"] == 1
        alive, dead = sorted({key[1] for key in found if key[0] == "vae_pipeline_alerts_waiting"}, key=len)
        assert alive.startswith("JSON ")
        assert found["vae_pipeline_alert_messages_total", alive] == 2
        assert found["vae_pipeline_alerts_waiting", alive] == 0
        assert found["vae_pipeline_alerts_waiting", dead] == 2
        assert found["vae_pipeline_alert_failures_total", dead] == 1
        deliver(settings(f"json://127.0.0.1:{free_port()}/"))
        assert alive not in {key[1] for key in samples(alert_metrics(outbox))}

    def test_of_an_empty_outbox_are_none(self):
        assert samples(alert_metrics(open_outbox(load_settings()))) == {}
