"""What is trained with: the launchpad before tuning before the catalogue, and only what was found on these features."""

import pytest

from vae_pipeline.defs.config import training_config
from vae_pipeline.defs.tuned_training import chosen_training
from vae_pipeline.experiments.best import Best, TrialRow
from vae_pipeline.experiments.report import write_tuned
from vae_pipeline.experiments.space import space_of, space_version
from vae_pipeline.records import Artifact
from vae_pipeline.storage import Storage
from vae_pipeline_tests.builders.tables import table_dataset

PUMPS = table_dataset(training={"latent": 8})
FEATURES = Artifact(key="timeseries/pumps/features/f1", data_version="f1")
FOUND = {"beta": 0.5, "latent": 8, "hidden": [32, 64, 128]}


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "storage"), tmp_path / "cache")


def keep(storage, dataset=PUMPS, features="f1", parameters=FOUND):
    row = TrialRow(number=1, state="complete", value=0.9, parameters=parameters)
    best = Best(
        features=features,
        space=space_version(space_of(dataset)),
        parameters=parameters,
        value=0.9,
        default_value=0.8,
        default=False,
        criterion="labels",
        trial=1,
        trials=(row,),
        importance={},
        seconds=1.0,
        within="trials",
    )
    artifact = Artifact(key="timeseries/pumps/tuned/t1", data_version="t1")
    with storage.new_folder(artifact.key, {"facts": {}}) as folder:
        write_tuned(best, folder)
    storage.write_text("artifacts/timeseries/tuned/pumps.json", artifact.model_dump_json())


def chosen(storage, dataset=PUMPS, features=FEATURES, **given):
    return chosen_training(dataset, training_config("timeseries")(**given), features, storage)


def test_without_tuning_the_catalogue_counts(storage):
    assert chosen(storage) == (PUMPS.training, (), "", "")
    assert chosen(storage, beta=0.3).training.beta == 0.3


def test_tuning_comes_before_the_catalogue(storage):
    keep(storage)
    found = chosen(storage)
    assert (found.training.beta, found.training.hidden, found.training.latent) == (0.5, (32, 64, 128), 8)
    assert found.names == ("beta", "hidden")  # latent is the catalogue's
    assert found.tuned.startswith(
        "beta = 0.5, hidden = [32, 64, 128] from trial 1 of 1: separation on calibration data"
    )
    assert found.training.epochs == PUMPS.training.epochs


def test_the_launchpad_comes_before_tuning(storage):
    keep(storage)
    found = chosen(storage, beta=0.3, epochs=3)
    assert (found.training.beta, found.training.hidden, found.training.epochs) == (0.3, (32, 64, 128), 3)
    assert found.names == ("hidden",)
    assert "beta" not in found.tuned


def test_where_the_default_is_the_best_nothing_is_said_to_be_tuned(storage):
    keep(storage, parameters={"beta": 0.1, "latent": 8})
    assert chosen(storage) == (PUMPS.training, (), "", "")


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ({"features": "f0"}, "other features (f0, now f1)"),
        ({"dataset": table_dataset(tuning={"space": {"beta": {"low": 0.1, "high": 2.0}}})}, "search space"),
    ],
)
def test_what_was_found_elsewhere_is_passed_over_and_that_is_said(storage, kept, reason):
    keep(storage, **kept)
    found = chosen(storage)
    assert (found.training, found.names) == (PUMPS.training, ())
    assert reason in found.passed_over
