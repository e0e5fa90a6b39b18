"""Back-up and restore of a trained home: everything is there again, and nothing is made anew."""

from pathlib import Path

import numpy as np
import pytest

from vae_pipeline.artifacts import CHAIN
from vae_pipeline.backup.record import read_back_up
from vae_pipeline_tests.backup.conftest import (
    NAME,
    back_up_of,
    champion_scores,
    restore_into,
)
from vae_pipeline_tests.defs.conftest import new_home

pytestmark = [pytest.mark.slow, pytest.mark.services]


def test_the_champion_scores_the_same(trained_home, restored):
    assert np.array_equal(champion_scores(restored), champion_scores(trained_home))


def test_versions_keep_number_alias_metrics_and_run(trained_home, restored):
    assert restored.shelf().entries() == trained_home.shelf().entries()


def test_locations_name_the_new_place(restored):
    root = (restored.folder / "storage" / "mlflow").as_uri()
    (entry,) = restored.shelf().entries()
    client = restored.shelf().tracker.client
    version = client.get_model_version(NAME, str(entry.version))
    locations = [
        client.get_model_version_download_uri(NAME, str(entry.version)),
        client.get_logged_model(version.source.removeprefix("models:/")).artifact_location,
        client.get_run(entry.run_id).info.artifact_uri,
        *(experiment.artifact_location for experiment in client.search_experiments()),
    ]
    assert [location for location in locations if not location.startswith((f"{root}/", "models:/"))] == []


def test_a_back_up_counts_what_it_holds(made):
    counts = read_back_up(made).counts
    assert (counts.models, counts.versions) == (1, 1)
    kept = [path for path in made.rglob("*") if path.is_file() and path.name != "backup.json"]
    assert (counts.files, counts.bytes) == (len(kept), sum(path.stat().st_size for path in kept))


def test_a_run_after_it_makes_nothing_anew(restored):
    found = restored.run()
    assert [stage for stage in CHAIN if not found[stage].get("reused")] == ["promoted"]
    assert found["promoted"]["reason"] == "version 1 is champion already"
    assert [Path(found[stage]["folder"]).is_relative_to(restored.folder) for stage in CHAIN[:7]] == [True] * 7


@pytest.fixture(scope="module")
def moved(restored, tmp_path_factory):
    """A home made from a back-up of the embedded one: with ``--services`` in PostgreSQL, S3 and an MLflow server."""
    home = new_home(tmp_path_factory.mktemp("moved"))
    restore_into(home, back_up_of(restored, tmp_path_factory.mktemp("moved_back_ups")))
    return home


def test_moved_on_the_champion_scores_the_same(trained_home, moved):
    assert np.array_equal(champion_scores(moved), champion_scores(trained_home))


def test_moved_on_nothing_is_made_anew(moved):
    found = moved.run()
    assert [stage for stage in CHAIN if not found[stage].get("reused")] == ["promoted"]


def test_moved_on_the_registry_counts_on_after_its_last_number(moved):
    client = moved.shelf().tracker.client
    known = {int(experiment.experiment_id) for experiment in client.search_experiments()}
    assert int(client.create_experiment("another")) == max(known) + 1
