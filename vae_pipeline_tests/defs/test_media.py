"""Images and recordings from raw files to the champion, by the same stages as tables, and unchanged the second time."""

import json
from pathlib import Path

import numpy as np
import pytest

from vae_pipeline.artifacts import CHAIN
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline_tests.defs.conftest import MEDIA, new_home

STAGES = list(CHAIN)
LINES = {"product": "vision", "machine": "timeseries"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def media_home(tmp_path_factory):
    return new_home(tmp_path_factory.mktemp("media_home"), MEDIA)


def run_twice(home, dataset):
    line = LINES[dataset]
    first = home.run(dataset, line)
    told = list(home.told)
    runs = len(home.mlflow_runs(line))
    again = home.run(dataset, line)
    return first, told, again, (runs, len(home.mlflow_runs(line)))


@pytest.fixture(scope="module")
def product(media_home):
    return run_twice(media_home, "product")


@pytest.fixture(scope="module")
def machine(media_home):
    return run_twice(media_home, "machine")


@pytest.fixture(params=list(LINES))
def either(request):
    return request.param, request.getfixturevalue(request.param)


def folder_of(found, stage):
    return Path(found[stage]["folder"])


def test_every_stage_is_done_in_order(either):
    _, (first, told, _, _) = either
    assert [stage for stage, text in told if text == "done"] == STAGES
    assert list(first) == STAGES
    epochs = [text.split(":")[0] for stage, text in told if stage == "trained" and text.startswith("epoch ")]
    assert epochs == ["epoch 1/1"]


def test_the_raw_files_are_judged_fit(either):
    _, (first, _, _, _) = either
    assert first["validated"]["critical_failures"] == 0
    assert first["validated"]["statements"] > 10


def test_folders_say_what_is_in_them(either):
    dataset, (first, _, _, _) = either
    features = (
        {"images.npy", "images.json", "masks"} if dataset == "product" else {"rows.npy", "features.json", "folds"}
    )
    needed = {
        "raw": {"train.parquet", "source.json", "files"},
        "validated": {"verdict.json", "report.html"},
        "features": features,
        "trained": {"model.onnx", "weights.npz", "network.json", "history.json", "training.json"},
        "calibrated": {"detector", "report.json"},
        "evaluated": {"card.md", "evaluation.json", "scores.npz", "figures"},
    }
    for stage, names in needed.items():
        assert names | {"manifest.json"} <= {path.name for path in folder_of(first, stage).iterdir()}


def test_what_was_evaluated_is_registered(either, media_home):
    dataset, (first, _, _, _) = either
    entry = media_home.shelf().version(f"{LINES[dataset]}-{dataset}", 1)
    assert (entry.line, entry.dataset) == (LINES[dataset], dataset)
    metrics = json.loads((folder_of(first, "evaluated") / "evaluation.json").read_text())["metrics"]
    assert entry.metrics["test_pr_auc"] == metrics["pr_auc"]
    assert first["promoted"]["challenger"] == 1
    assert first["promoted"]["promoted"] == ("champion" in first["promoted"])
    assert "ROC-AUC" in first["promoted"]["reason"]


def test_the_registered_detector_scores_as_the_evaluation_did(either, media_home):
    dataset, (first, _, _, _) = either
    shelf = media_home.shelf()
    with media_home.entered():
        detector = Detector.load(shelf.detector_folder(f"{LINES[dataset]}-{dataset}", 1))
    if dataset == "product":
        assert isinstance(detector, ImageDetector)
        with np.load(folder_of(first, "evaluated") / "scores.npz") as stored:
            expected, places = stored["score"], stored["row"]
        images = ImageSet.open(folder_of(first, "features"))
        np.testing.assert_allclose(detector.score_images(images.pixels, places).score, expected, rtol=0, atol=1e-6)
    else:
        assert isinstance(detector, SoundDetector)
        features = FeatureSet.open(folder_of(first, "features"))
        files = [folder_of(first, "raw") / "files" / f"{name}.wav" for name in features.unit_names[:3]]
        assert np.isfinite(detector.score_clips(files).score).all()


def test_the_same_run_again_makes_nothing_anew(either):
    _, (first, _, again, runs) = either
    assert {stage for stage, found in again.items() if not found.get("reused")} <= {"promoted"}
    assert all(folder_of(again, stage) == folder_of(first, stage) for stage in STAGES[:7])
    assert runs[0] == runs[1]
    assert again["registered"]["version"] == 1


def test_the_same_run_again_leaves_the_champion(either):
    _, (first, _, again, _) = either
    assert again["promoted"].get("champion") == first["promoted"].get("champion")


def test_training_shows_reconstructions_of_images(product, media_home):
    first = product[0]
    pictures = list((folder_of(first, "trained") / "reconstructions").iterdir())
    assert [path.name for path in pictures] == ["epoch_001.png"]
    assert pictures[0].read_bytes().startswith(b"\x89PNG")
    assert "reconstructions" in first["trained"]


def test_images_are_judged_as_a_whole_and_by_pixel(product):
    evaluated = product[0]["evaluated"]
    assert {"test_roc_auc", "test_pixel_auroc", "test_aupro"} <= set(evaluated)
    assert "by group" in evaluated


def test_each_leave_out_fold_of_recordings_has_features_network_and_detector(machine):
    first = machine[0]
    for stage, name in (("features", "features.json"), ("trained", "model.onnx"), ("calibrated", "detector")):
        folds = sorted((folder_of(first, stage) / "folds").iterdir())
        assert [fold.name for fold in folds] == ["00", "01"]
        assert all((fold / name).exists() for fold in folds)
    assert first["evaluated"]["test_folds"] == 2
    assert first["evaluated"]["test_clips"] == 12
    assert "Few clips" in first["evaluated"]["cannot_compute"]


def test_another_form_of_the_score_calibrates_anew_and_is_compared_with_the_champion(product, media_home):
    shelf = media_home.shelf()
    with media_home.entered():
        before = shelf.find_champion("vision-product")
        against = before.version if before else None
        shelf.decide("vision-product", 1, against=against, promote=True, reason="taken by hand, whatever its figures")
    found = media_home.run("product", "vision", calibrated={"score": ["residual"], "placement": "image"})
    reused = {stage: found[stage]["reused"] for stage in STAGES[:7]}
    assert reused == {stage: stage in ("raw", "validated", "features", "trained") for stage in STAGES[:7]}
    assert found["calibrated"]["score"] == "residual"
    assert found["calibrated"]["placements"] == "image, image, image"
    assert found["registered"]["version"] == 2
    assert "PR-AUC" in found["promoted"]["reason"]
    assert "against the champion's" in found["promoted"]["reason"]
    assert found["promoted"]["champion"] in (1, 2)
