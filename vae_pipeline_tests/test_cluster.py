"""Two Ray nodes on this machine, each with a process tree and a host name of its own; one trained home serves all."""

from pathlib import Path

import pandas as pd
import pytest

from infra.services.program import wait_for
from infra.services.ray_cluster import RayCluster, why_not
from vae_pipeline.catalog import dataset
from vae_pipeline.experiments.best import read_best
from vae_pipeline.score_batch import score_batch
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.defs.conftest import Home, new_home

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    cluster = RayCluster(tmp_path_factory.mktemp("nodes"))
    yield cluster
    cluster.stop()


class HomeOnCluster(Home):
    """A home whose commands use the cluster."""

    cluster: RayCluster

    def environment(self):
        return {**super().environment(), **self.cluster.environment, "VAE_PIPELINE_EXECUTOR": "ray"}


@pytest.fixture(scope="module")
def trained(cluster, tmp_path_factory):
    """A home, and what a run of its partition came to."""
    home = new_home(tmp_path_factory.mktemp("home"), kind=HomeOnCluster)
    home.cluster = cluster
    return home, home.run(explained={"most": 1}, trained={"epochs": 1})


def states(home):
    """Of the jobs that are runs of the line."""
    from ray.job_submission import JobSubmissionClient

    with home.entered():
        jobs = JobSubmissionClient(home.cluster.address).list_jobs()
    return [job.status for job in jobs if (job.metadata or {}).get("dagster/job") == "timeseries"]


def tasks(home, name):
    from ray.util.state import list_tasks

    with home.entered():
        return list_tasks(home.cluster.address, filters=[("name", "=", name)])


def test_a_run_is_one_job_of_the_cluster_and_registers_once(trained):
    home, found = trained
    assert found["promoted"]["promoted"]
    assert [(entry.name, entry.version) for entry in home.shelf().entries()] == [("timeseries-tiny", 1)]
    # the run has ended a moment before its job
    wait_for(lambda: states(home) == ["SUCCEEDED"], "the run's job does not end")


def test_trials_of_a_search_are_tasks_of_the_cluster(trained):
    home, _ = trained
    found = home.run(job="timeseries_tune", tuned={"trials": 2, "workers": 2})
    with home.entered():
        best = read_best(Path(found["tuned"]["folder"]))
    assert [trial.state for trial in best.trials] == ["complete", "complete"]
    assert [task.state for task in tasks(home, "run_on_node")] == ["FINISHED", "FINISHED"]


def test_files_are_scored_as_here_in_their_order_and_a_bad_one_is_named(trained, tmp_path):
    home, _ = trained
    files = [tmp_path / f"{name}.csv" for name in ("b", "a", "c")]
    for file, readings in zip(files, shares(home), strict=True):
        readings.to_csv(file, index=False)
    files[1].write_text("nothing,known\n1,2\n")

    def scored(where, told, warned, **changed):
        with home.entered():
            settings = load_settings().model_copy(update=changed)
            entry = dataset("tiny", "timeseries", settings.catalog_files)
            return score_batch("timeseries-tiny", 1, entry, files, where, None, settings, told.append, warned.append)

    there, here, warned, same = [], [], [], []
    assert scored(tmp_path / "there", there, warned) == 1
    assert scored(tmp_path / "here", here, same, executor="in_process") == 1
    assert [sentence.partition(".scores")[0] for sentence in there] == [f"{tmp_path}/there/{name}" for name in "bc"]
    assert warned == same
    assert str(files[1]) in warned[0]
    for name in ("b", "c"):
        left, right = (pd.read_csv(tmp_path / place / f"{name}.scores.csv") for place in ("there", "here"))
        pd.testing.assert_frame_equal(left, right)


def shares(home):
    """The generated test engines in three parts, with the catalogue's column names."""
    (file,) = (home.folder / "extracted").glob("tiny-*/test_tiny.txt")
    names = ["unit", "cycle", *(f"setting_{i}" for i in range(1, 4)), *(f"sensor_{i}" for i in range(1, 22))]
    readings = pd.read_csv(file, sep=r"\s+", header=None, names=names)
    return [readings[readings["unit"] % 3 == part] for part in range(3)]
