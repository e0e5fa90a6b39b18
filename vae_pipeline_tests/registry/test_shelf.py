"""Versions, aliases, and the model as anybody else would load it."""

import tempfile
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from vae_pipeline.detector.detector import Detector
from vae_pipeline.errors import RegistryError
from vae_pipeline.registry import shelf as module
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline_tests.detector.examples import made

NAME = "timeseries-tiny"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("registered"), regimes=3, sensors=3)


@pytest.fixture(scope="module")
def shelf(tracker):
    return Shelf(tracker)


def register(shelf, example, folder, evaluation):
    example.detector.save(folder / "detector")
    tags = {"line": "timeseries", "dataset": "tiny", "data_version": "0a1b", "evaluation_version": evaluation}
    with shelf.tracker.run("timeseries", "tiny registered", {}) as run:
        version = shelf.register(
            run,
            NAME,
            folder / "detector",
            beside={"weights": example.network.parent / "weights.npz"},
            tags=tags,
            metrics={"test_pr_auc": 0.5},
            card="# Card",
        )
    return version, run.run_id


@pytest.fixture(scope="module")
def first(shelf, example, tmp_path_factory):
    """Version 1, registered before anything else is asked of the shelf."""
    with pytest.raises(RegistryError, match="vae-pipeline run timeseries tiny"):
        shelf.champion(NAME)
    return register(shelf, example, tmp_path_factory.mktemp("first"), "one")


@pytest.fixture(scope="module")
def loaded(shelf, first):
    import mlflow

    _ = shelf.tracker.client
    return mlflow.pyfunc.load_model(f"models:/{NAME}/{first[0]}")


def test_a_new_version_is_challenger_and_tells_where_it_comes_from(shelf, first):
    version, run_id = first
    entry = shelf.version(NAME, version)
    assert (entry.version, entry.run_id, entry.data_version, entry.evaluation_version) == (1, run_id, "0a1b", "one")
    assert (entry.line, entry.dataset) == ("timeseries", "tiny")
    assert entry.metrics == {"test_pr_auc": 0.5}
    assert shelf.find(NAME, "one") == entry
    assert shelf.find(NAME, "another") is None
    assert shelf.find("timeseries-other", "one") is None
    assert shelf.tracker.client.get_model_version(NAME, "1").description == "# Card"


def test_the_loaded_model_scores_a_raw_table_as_the_detector_does(loaded, example):
    columns = example.test_columns()
    expected = example.detector.score_table(columns)
    frame = pd.DataFrame(columns)
    frame.index = frame.index + 1000
    found = loaded.predict(frame)
    assert list(found.columns) == ["score", "alarm", "threshold"]
    assert np.array_equal(found.index, expected.row + 1000)
    np.testing.assert_allclose(found["score"], expected.score, rtol=0, atol=1e-5)
    assert np.array_equal(found["alarm"], expected.alarm)


def test_the_loaded_model_scores_raw_windows_as_the_detector_does(loaded, example):
    columns = example.test_columns()
    table = example.detector.score_table(columns)
    inputs = np.stack([columns[name] for name in example.detector.description.inputs], axis=1)
    windows = np.stack([inputs[row - 19 : row + 1].T for row in table.row])
    found = loaded.predict(windows)
    np.testing.assert_allclose(found["score"], table.score, rtol=0, atol=1e-5)
    assert np.array_equal(found["alarm"], table.alarm)


def test_another_threshold_may_be_asked_for(loaded, example):
    frame = pd.DataFrame(example.test_columns())
    found = loaded.predict(frame, params={"threshold": -1e6})
    assert found["alarm"].all()
    assert set(found["threshold"]) == {-1e6}
    default = example.detector.description.threshold.value
    assert set(loaded.predict(frame)["threshold"]) == {default}


def test_the_registered_folder_is_the_detector(shelf, first, example):
    detector = Detector.load(shelf.detector_folder(NAME, first[0]))
    assert detector.description == example.detector.description
    columns = example.test_columns()
    found, expected = (item.score_table(columns).score for item in (detector, example.detector))
    assert np.array_equal(found, expected)


@pytest.fixture
def elsewhere(shelf, monkeypatch):
    """The shelf, as if artifacts lay on another machine; addresses of what is fetched are counted."""
    fetched, download = [], mlflow.artifacts.download_artifacts

    def counted(address, **more):
        fetched.append(address)
        return download(address, **more)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", counted)
    monkeypatch.setattr(module, "urlsplit", lambda _: SimpleNamespace(scheme="s3"))
    return fetched


def test_a_folder_from_elsewhere_is_fetched_once_and_leaves_nothing_behind(
    shelf, first, elsewhere, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = shelf.tracker.settings.home / "cache" / "models"
    folder = shelf.detector_folder(NAME, first[0])
    assert folder.is_relative_to(cache)
    assert [shelf.detector_folder(NAME, first[0]), shelf.find_folder(NAME, first[0], "detector")] == [folder] * 2
    assert (folder / "detector.json").exists()
    assert shelf.find_folder(NAME, first[0], "weights.npz").is_file()
    assert [address.rpartition("/")[2] for address in elsewhere] == ["detector", "weights.npz"]
    assert list(tmp_path.iterdir()) == []
    assert not list(cache.rglob(".work-*"))


def test_a_version_that_was_deleted_and_made_again_is_fetched_anew(shelf, first, elsewhere, monkeypatch):
    ask, later = type(shelf)._version, [1]

    def made_again(*of):
        found = ask(*of)
        return SimpleNamespace(name=NAME, version=1, creation_timestamp=found.creation_timestamp + later[-1])

    monkeypatch.setattr(type(shelf), "_version", made_again)
    for later[-1] in (1, 2):
        shelf.detector_folder(NAME, first[0])
    assert len(elsewhere) == 2


def test_aliases_move_with_decisions(shelf, first, example, tmp_path):
    shelf.decide(NAME, 1, against=None, promote=True, reason="the first one")
    assert shelf.champion(NAME).version == 1
    assert shelf.version(NAME, 1).aliases == ("champion",)
    assert shelf.detector_folder(NAME, "champion").is_dir()

    second, _ = register(shelf, example, tmp_path, "two")
    assert [(entry.version, entry.aliases) for entry in shelf.entries(NAME)] == [
        (2, ("challenger",)),
        (1, ("champion",)),
    ]

    shelf.decide(NAME, second, against=1, promote=False, reason="worse")
    assert [entry.aliases for entry in shelf.entries(NAME)] == [("challenger",), ("champion",)]
    assert shelf.tracker.client.get_model_version(NAME, "2").tags["decision"] == "worse"

    shelf.decide(NAME, second, against=1, promote=True, reason="better after all")
    assert [entry.aliases for entry in shelf.entries(NAME)] == [("champion",), ()]
    assert shelf.tracker.client.get_model_version(NAME, "2").tags["decision"] == "better after all"

    shelf.challenge(NAME, 1)
    assert [entry.aliases for entry in shelf.entries()] == [("champion",), ("challenger",)]


def test_what_is_not_there_is_said_in_one_sentence(shelf, first):
    with pytest.raises(RegistryError, match="timeseries-tiny has no version 99; vae-pipeline models lists"):
        shelf.version(NAME, 99)
    with pytest.raises(RegistryError, match="timeseries-other has no champion yet; make one with: vae-pipeline run"):
        shelf.champion("timeseries-other")
    with pytest.raises(RegistryError) as told:
        shelf.detector_folder(NAME, "grandmaster")
    assert "\n" not in str(told.value)
    for ask in (shelf.detector_folder, shelf.number, lambda *of: shelf.find_folder(*of, "detector")):
        with pytest.raises(
            RegistryError, match=r"^no version of timeseries-tiny is called chalenger; vae-pipeline models"
        ):
            ask(NAME, "chalenger")
    assert shelf.find_champion("timeseries-other") is None
    assert shelf.entries("timeseries-other") == []


def test_of_an_evaluation_that_two_steps_register_at_once_one_version_stays(shelf, example, tmp_path):
    """Each has looked for a version and found none, so both go on to register."""
    first, _ = register(shelf, example, tmp_path / "lost", "twice")
    assert register(shelf, example, tmp_path / "begun_again", "twice")[0] == first
    assert [entry.version for entry in shelf.entries(NAME) if entry.evaluation_version == "twice"] == [first]
