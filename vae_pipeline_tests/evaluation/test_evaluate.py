import json

import numpy as np
import pytest

from vae_pipeline.evaluation.result import Evaluation, read_evaluation, read_scored
from vae_pipeline.evaluation.windows import evaluate_windows
from vae_pipeline_tests.detector.examples import made

HISTORY = [{"epoch": float(epoch), "train_loss": 9.0 - epoch, "validation_loss": 9.5 - epoch} for epoch in range(3)]
FIGURES = {"life", "precision_recall", "roc", "comparison", "histogram", "training"}


def evaluated(folder, **options):
    example = made(folder, sensors=3, **options)
    told = []
    found = evaluate_windows(
        example.dataset,
        example.detector,
        example.features,
        example.report,
        history=HISTORY,
        folder=folder / "evaluated",
        told=told.append,
    )
    return example, found, folder / "evaluated", told


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("unlabelled"), labels=None)


@pytest.fixture(params=["labelled", "unlabelled"])
def either(request):
    return request.getfixturevalue(request.param)


def test_the_folder_holds_numbers_scores_card_and_figures(either):
    _, _, folder, _ = either
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "scores.npz", "card.md", "figures"}
    pictures = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(pictures) == FIGURES
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


def test_what_is_written_is_read_again(either):
    example, found, folder, _ = either
    assert read_evaluation(folder) == found
    scored, row = read_scored(folder)
    windows = example.features.windows("test")
    np.testing.assert_allclose(scored.score, example.detector.score_scaled(windows).score, rtol=0, atol=1e-6)
    assert np.array_equal(row, windows.ends)
    assert np.array_equal(scored.label, example.features.labels(windows))


def test_with_labels_every_figure_is_there_and_beside_it_every_baseline(labelled):
    _, found, _, told = labelled
    assert {"roc_auc", "pr_auc", "f1", "best_f1", "pr_auc_low", "pr_auc_high", "lead_time_share"} <= set(found.metrics)
    assert found.metrics["roc_auc"] > 0.8
    assert found.cannot == ()
    assert len(found.baselines) >= 5
    needed = {"roc_auc", "pr_auc", "best_f1", "pr_auc_low", "pr_auc_high"}
    assert all(needed <= set(figures) for figures in found.baselines.values())
    assert f"scoring {int(found.metrics['windows']):,} test windows" in told
    assert {line.removeprefix("baseline ") for line in told if line.startswith("baseline ")} <= set(found.baselines)


def test_without_labels_it_says_what_cannot_be_known(unlabelled):
    _, found, folder, _ = unlabelled
    assert "roc_auc" not in found.metrics
    assert {"windows", "units", "alarm_share"} <= set(found.metrics)
    assert found.cannot
    assert found.best_baseline is None
    assert all(figures == {} for figures in found.baselines.values())
    card = (folder / "card.md").read_text()
    assert all(sentence in card for sentence in found.cannot)


def test_the_card_names_detector_data_threshold_and_score(labelled):
    example, found, folder, _ = labelled
    card = (folder / "card.md").read_text()
    threshold = example.detector.description.threshold
    for text in ("timeseries-tiny", "0a1b", threshold.guarantee, threshold.method, "Forms compared"):
        assert text in card
    assert f"{found.metrics['pr_auc']:.3f}" in card


def test_flat_names_tell_detector_and_baselines_apart():
    found = Evaluation(metrics={"f1": 0.5}, baselines={"pca": {"pr_auc": 0.3}, "age": {"pr_auc": 0.4}, "mean": {}})
    assert found.flat() == {"test_f1": 0.5, "baseline_pca_test_pr_auc": 0.3, "baseline_age_test_pr_auc": 0.4}
    assert found.best_baseline == ("age", 0.4)


def test_numbers_are_plain_json(either):
    content = json.loads((either[2] / "evaluation.json").read_text())
    assert all(np.isfinite(value) for value in content["metrics"].values())
