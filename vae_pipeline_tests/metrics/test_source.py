"""A scrape costs little, and neither a slow nor a dead source holds it up."""

import threading
import time
from urllib.request import urlopen

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from vae_pipeline.errors import RegistryError, SettingError
from vae_pipeline.metrics.serve import serving_metrics
from vae_pipeline.metrics.source import PipelineCollector, Source


class Counted:
    """A source's reading that counts how often it was asked, and may wait or fail."""

    def __init__(self, error=None, gate=None):
        self.asked, self.error, self.gate = 0, error, gate

    def __call__(self):
        self.asked += 1
        if self.gate is not None:
            self.gate.wait(10)
        if self.error is not None:
            raise self.error
        yield GaugeMetricFamily("vae_pipeline_asked", "how often", value=self.asked)


def collected(collector):
    return {
        (sample.name, sample.labels.get("source", "")): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_what_was_read_is_kept_for_a_while():
    reading = Counted()
    collector = PipelineCollector([Source("a", reading, keep=3600.0)])
    for _ in range(3):
        found = collected(collector)
    assert reading.asked == 1
    assert found["vae_pipeline_asked", ""] == 1
    assert found["vae_pipeline_up", "a"] == 1


def test_what_is_old_is_read_again():
    reading = Counted()
    collector = PipelineCollector([Source("a", reading, keep=0.0)])
    collected(collector)
    assert collected(collector)["vae_pipeline_asked", ""] == 2


def test_a_dead_source_is_down_and_the_others_are_there(caplog):
    dead = Source("registry", Counted(RegistryError("does not answer")), keep=0.0)
    collector = PipelineCollector([dead, Source("alerts", Counted())])
    for _ in range(2):
        found = collected(collector)
    assert found["vae_pipeline_up", "registry"] == 0
    assert found["vae_pipeline_up", "alerts"] == 1
    assert ("vae_pipeline_asked", "") in found
    assert caplog.text.count("no metrics of registry: does not answer") == 1


def test_a_source_that_hangs_is_down_and_what_was_read_before_is_given():
    gate = threading.Event()
    reading = Counted()
    collector = PipelineCollector([Source("a", reading, keep=0.0)], wait=0.2)
    collected(collector)
    reading.gate = gate
    began = time.monotonic()
    found = collected(collector)
    again = collected(collector)
    gate.set()
    assert time.monotonic() - began < 5
    assert (found["vae_pipeline_up", "a"], found["vae_pipeline_asked", ""]) == (0, 1)
    assert again["vae_pipeline_up", "a"] == 0
    assert reading.asked == 2, "one reading at a time"
    collector.wait = 10.0
    assert collected(collector)["vae_pipeline_up", "a"] == 1


def test_prometheus_can_read_what_is_answered():
    with (
        serving_metrics([Source("a", Counted())], "127.0.0.1", 0) as port,
        urlopen(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        families = {family.name for family in text_string_to_metric_families(answer.read().decode())}
    assert families == {"vae_pipeline_asked", "vae_pipeline_up", "vae_pipeline_read_seconds"}


def test_a_port_that_is_taken_is_said():
    with (
        serving_metrics([], "127.0.0.1", 0) as port,
        pytest.raises(SettingError, match=rf"--port {port}: .*choose another"),
        serving_metrics([], "127.0.0.1", port),
    ):
        pass
