"""Whatever happens to the process behind it, a run ends."""

import os
import subprocess
import sys

import pytest

from vae_pipeline.errors import RegistryError
from vae_pipeline.processes import OWNER_TAG, _started, this_process
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.settings import Settings


def status(tracker, run):
    return tracker.client.get_run(run.run_id).info.status


def test_a_run_that_ends_well_is_finished_and_keeps_what_was_told(tracker, tmp_path):
    (tmp_path / "note.txt").write_text("a note")
    with tracker.run("timeseries", "tiny trained", {"dagster/partition": "tiny"}) as run:
        run.log_parameters({"epochs": 3, "hidden": [8, 4]})
        for step in range(2):
            run.log_metrics({"loss": 2.0 - step, "kl": 1}, step=step)
        run.log_file(tmp_path / "note.txt", "notes")
        assert status(tracker, run) == "RUNNING"
    found = tracker.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "tiny trained"
    assert found.data.params == {"epochs": "3", "hidden": "[8, 4]"}
    assert found.data.metrics == {"loss": 1.0, "kl": 1.0}
    assert [metric.value for metric in tracker.client.get_metric_history(run.run_id, "loss")] == [2.0, 1.0]
    assert found.data.tags["dagster/partition"] == "tiny"
    assert [item.path for item in tracker.client.list_artifacts(run.run_id, "notes")] == ["notes/note.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_whose_block_raises_is_failed_and_the_error_goes_on(tracker, error):
    with pytest.raises(error), tracker.run("timeseries", "broken", {}) as run:
        raise error
    assert status(tracker, run) == "FAILED"


def test_artifacts_lie_below_storage(tracker):
    with tracker.run("timeseries", "placed", {}) as run:
        pass
    uri = tracker.client.get_run(run.run_id).info.artifact_uri
    assert uri.startswith((tracker.settings.home / "storage" / "mlflow" / "timeseries").as_uri())


def left_running(tracker, owner):
    experiment = tracker.client.get_experiment_by_name("timeseries").experiment_id
    return tracker.client.create_run(experiment, tags={OWNER_TAG: owner} if owner else {}).info


def test_only_runs_of_dead_processes_of_this_machine_are_ended(tracker):
    with tracker.run("timeseries", "first", {}):
        pass
    gone = subprocess.run(
        [sys.executable, "-c", "from vae_pipeline.processes import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    host, pid, started = this_process().split(":")
    owners = {
        "dead": gone,
        "reused pid": f"{host}:{pid}:{int(started) - 1}",
        "alive": f"{host}:{os.getppid()}:{_started(os.getppid())}",
        "this": this_process(),
        "elsewhere": gone.replace(host, "elsewhere"),
        "unknown": "",
    }
    runs = {name: left_running(tracker, owner) for name, owner in owners.items()}
    with tracker.run("timeseries", "next", {}):
        pass
    ended = {name for name, run in runs.items() if status(tracker, run) == "KILLED"}
    assert ended == {"dead", "reused pid"}
    assert {status(tracker, runs[name]) for name in set(owners) - ended} == {"RUNNING"}
    assert tracker.end_orphans("timeseries") == 0


def test_the_address_stays_out_of_the_environment(tracker):
    """Settings read later would take the address of one home for one that was asked for."""
    assert tracker.client is not None
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & set(os.environ)


def test_a_line_without_runs_has_no_orphans(tracker):
    assert tracker.end_orphans("vision") == 0


def test_a_server_that_cannot_be_used_is_named_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    address = f"sqlite:///{tmp_path}/file/mlflow.db"
    unreachable = Tracker(Settings(home=tmp_path, MLFLOW_TRACKING_URI=address))  # type: ignore[call-arg]
    with (
        pytest.raises(RegistryError, match="check MLFLOW_TRACKING_URI") as told,
        unreachable.run("timeseries", "x", {}),
    ):
        pass
    assert address in str(told.value)
    assert "\n" not in str(told.value)
