"""What Dagster keeps of runs and assets, as metrics."""

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from vae_pipeline.defs.run_metrics import RunMetrics
from vae_pipeline_tests.metrics.test_families import samples


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def test_without_runs_there_are_none(instance):
    assert samples(RunMetrics(instance)()) == {}


def test_runs_durations_and_freshness_are_told(instance):
    @dg.asset(key=["vision", "raw"], partitions_def=dg.StaticPartitionsDefinition(["bottle", "zipper"]))
    def raw(context: dg.AssetExecutionContext) -> None:
        if context.run.tags.get("fails"):
            raise ValueError

    @dg.asset(key=["vision", "bento"])
    def bento() -> None: ...

    definitions = dg.Definitions(assets=[raw, bento], jobs=[dg.define_asset_job("vision", selection=[raw])])
    job = definitions.resolve_job_def("vision")
    for dataset, tags in (("bottle", {}), ("bottle", {"fails": "1"}), ("zipper", {})):
        job.execute_in_process(instance=instance, partition_key=dataset, tags=tags, raise_on_error=False)
    dg.materialize([bento], instance=instance)
    found = samples(RunMetrics(instance)())
    assert found["vae_pipeline_runs", "vision", "success"] == 2
    assert found["vae_pipeline_runs", "vision", "failure"] == 1
    assert found["vae_pipeline_runs", "vision", "queued"] == 0
    for dataset, status in (("bottle", "success"), ("bottle", "failure"), ("zipper", "success")):
        assert found["vae_pipeline_last_run_duration_seconds", dataset, "vision", status] > 0
        assert found["vae_pipeline_last_run_end_timestamp_seconds", dataset, "vision", status] > 1e9
    made = {key[1:] for key in found if key[0] == "vae_pipeline_asset_materialized_timestamp_seconds"}
    assert made == {("bottle", "vision", "raw"), ("zipper", "vision", "raw"), ("", "vision", "bento")}


def test_a_run_that_could_not_be_launched_has_an_end_and_no_duration(instance):
    @dg.job(name="vision")
    def job() -> None: ...

    instance.report_run_failed(instance.create_run_for_job(job, tags={"dagster/partition": "bottle"}))
    found = samples(RunMetrics(instance)())
    assert found["vae_pipeline_last_run_end_timestamp_seconds", "bottle", "vision", "failure"] > 1e9
    assert "vae_pipeline_last_run_duration_seconds" not in {name for name, *_ in found}


def test_when_the_daemon_was_last_alive_is_told(instance):
    instance.add_daemon_heartbeat(DaemonHeartbeat(1772323200.0, "SENSOR", "one"))
    assert samples(RunMetrics(instance)()) == {
        ("vae_pipeline_daemon_heartbeat_timestamp_seconds", "sensor"): 1772323200.0
    }


def test_an_asset_that_was_not_made_since_is_not_read_again(instance, monkeypatch):
    @dg.asset(key=["vision", "raw"], partitions_def=dg.StaticPartitionsDefinition(["bottle", "zipper"]))
    def raw() -> None: ...

    def made():
        name = "vae_pipeline_asset_materialized_timestamp_seconds"
        return {key[1]: value for key, value in samples(metrics()).items() if key[0] == name}

    metrics, reads = RunMetrics(instance), []
    fetch = type(instance).fetch_materializations
    monkeypatch.setattr(
        type(instance), "fetch_materializations", lambda *given, **more: reads.append(1) or fetch(*given, **more)
    )
    dg.materialize([raw], instance=instance, partition_key="bottle")
    assert set(made()) == set(made()) == {"bottle"}
    assert len(reads) == 1
    first = made()["bottle"]
    dg.materialize([raw], instance=instance, partition_key="zipper")
    assert set(made()) == {"bottle", "zipper"}
    dg.materialize([raw], instance=instance, partition_key="bottle")
    assert made()["bottle"] > first
    assert len(reads) == 3
