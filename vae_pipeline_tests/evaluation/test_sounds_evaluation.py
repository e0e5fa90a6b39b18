"""What evaluation says of recordings, with a test part and with leave-out folds where clips are few."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from vae_pipeline.calibration.separation import roc_auc
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.errors import DetectorError
from vae_pipeline.evaluation.challenge import challenge
from vae_pipeline.evaluation.evaluate import evaluate
from vae_pipeline.evaluation.result import read_evaluation, read_scored
from vae_pipeline.evaluation.sounds import LOUDNESS, MAHALANOBIS, _placed
from vae_pipeline.features.feature_set import FeatureSet, fold_folders
from vae_pipeline.storage import write_json
from vae_pipeline_tests.detector.sound_examples import made_sounds, opened

HISTORY = [{"epoch": float(epoch), "train_loss": 9.0 - epoch, "validation_loss": 9.5 - epoch} for epoch in range(3)]
FIGURES = {"precision_recall", "roc", "comparison", "histogram", "training"}
FOLDS = 3


def evaluated(example, folder, calibrated=None):
    write_json(folder / "trained/history.json", HISTORY)
    (folder / "evaluated").mkdir()
    told = []
    found = evaluate(
        example.dataset,
        example.features.folder,
        folder / "trained",
        calibrated or example.calibrated,
        folder / "evaluated",
        told.append,
    )
    return example, found, folder / "evaluated", told


@pytest.fixture(scope="module")
def whole(sound_example, tmp_path_factory):
    return evaluated(sound_example, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def left_out(sound_example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left_out")
    return evaluated(made_sounds(folder, sound_example.network, folds=FOLDS), folder)


@pytest.fixture(params=["whole", "left_out"])
def either(request):
    return request.getfixturevalue(request.param)


def test_the_folder_holds_numbers_scores_card_and_figures(either):
    _, _, folder, _ = either
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "scores.npz", "card.md", "figures"}
    pictures = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(pictures) == FIGURES
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


def test_what_is_written_is_read_again(either):
    _, found, folder, _ = either
    assert read_evaluation(folder) == found
    scored, codes = read_scored(folder)
    assert len(scored) == len(codes) == found.metrics["clips"]
    content = json.loads((folder / "evaluation.json").read_text())
    assert all(np.isfinite(value) for value in content["metrics"].values())


def test_every_baseline_stands_beside_loudness_among_them(either):
    _, found, _, told = either
    assert {LOUDNESS, MAHALANOBIS} < set(found.baselines)
    assert len(found.baselines) >= 6
    needed = {"roc_auc", "pr_auc", "partial_auc", "best_f1", "pr_auc_low", "pr_auc_high"}
    assert all(needed <= set(figures) for figures in found.baselines.values())
    assert needed <= set(found.metrics)
    assert "drawing figures" in told


def test_with_a_test_part_scores_are_the_detectors(whole):
    example, found, folder, _ = whole
    scored, codes = read_scored(folder)
    windows = example.features.windows("test")
    expected_codes, expected = example.detector.score_units(windows, example.features.units(windows))
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_allclose(scored.score, expected)
    assert scored.label.tolist() == [int("abnormal" in example.features.unit_names[code]) for code in codes]
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc(scored.score, scored.label == 1))
    assert found.cannot == ()
    assert {"precision", "recall", "f1"} <= set(found.metrics)


def test_left_out_in_turn_every_clip_is_counted_once(left_out):
    example, found, folder, told = left_out
    scored, codes = read_scored(folder)
    assert sorted(codes.tolist()) == list(range(16))
    assert [example.features.unit_names[code].startswith("abnormal") for code in codes] == (scored.label == 1).tolist()
    assert (found.metrics["clips"], found.metrics["folds"]) == (16, FOLDS)
    assert [line for line in told if "fold" in line] == [f"scoring test clips, fold {n} of 3" for n in (1, 2, 3)]


def test_left_out_in_turn_a_clip_is_judged_by_the_detector_that_never_heard_it(left_out):
    example, _, folder, _ = left_out
    scored, codes = read_scored(folder)
    places = dict(zip(codes.tolist(), scored.score, strict=True))
    for fold in fold_folders(example.features.folder):
        features = FeatureSet.open(fold)
        windows = features.windows("test")
        detector = opened(example.calibrated / "folds" / fold.name / "detector")
        found, scores = detector.score_units(windows, features.units(windows))
        abnormal = scores[[features.unit_names[code].startswith("abnormal") for code in found]]
        for code, score in zip(found.tolist(), scores, strict=True):
            if features.unit_names[code].startswith("normal"):
                share = np.mean([0.5 if other == score else float(other < score) for other in abnormal])
                assert places[code] == pytest.approx(share)


def test_left_out_in_turn_each_fold_has_a_detector_of_its_own(left_out, tmp_path):
    example, _, folder, _ = left_out
    shutil.copytree(example.calibrated, tmp_path / "calibrated")
    first = fold_folders(example.features.folder)[0]
    file = tmp_path / "calibrated/folds" / first.name / "detector"
    detector = opened(file)
    detector.scorer = replace(detector.scorer, part_deviation=-detector.scorer.part_deviation)
    detector.save(tmp_path / "turned")
    shutil.copytree(tmp_path / "turned", file, dirs_exist_ok=True)
    _, _, turned, _ = evaluated(example, tmp_path, tmp_path / "calibrated")
    (before, codes), (after, _) = read_scored(folder), read_scored(turned)
    tested = {item.name for item in FeatureSet.open(first).segments if item.part == "test"}
    mine = np.array([example.features.unit_names[code] in tested for code in codes])
    normal = before.label == 0
    np.testing.assert_array_equal(before.score[normal & ~mine], after.score[normal & ~mine])
    np.testing.assert_allclose(after.score[normal & mine], 1 - before.score[normal & mine])
    assert (normal & mine).sum() == 4


def test_left_out_in_turn_nothing_is_said_of_a_threshold(left_out):
    _, found, folder, _ = left_out
    assert not {"precision", "recall", "f1", "false_alarms_per_1000"} & set(found.metrics)
    assert any(sentence.startswith("Few clips: with 12 normal and 4 abnormal ones") for sentence in found.cannot)
    assert any("F1 at the threshold cannot be computed" in sentence for sentence in found.cannot)
    card = (folder / "card.md").read_text()
    assert all(sentence in card for sentence in found.cannot)
    assert "3 leave-out folds" in card


def test_the_card_names_detector_data_and_threshold(whole):
    example, found, folder, _ = whole
    card = (folder / "card.md").read_text()
    threshold = example.detector.description.threshold
    for text in ("timeseries-fans", "0a1b", threshold.guarantee, "8 bands", "loudness", "Partial ROC-AUC"):
        assert text in card
    assert f"{found.metrics['pr_auc']:.3f}" in card


def test_a_place_among_abnormal_clips_is_the_share_below_ties_half():
    placed = _placed(np.array([-1.0, 2.0, 3.0, 9.0, 4.0]), np.array([2.0, 4.0]))
    np.testing.assert_allclose(placed, [0.0, 0.25, 0.5, 1.0, 0.75])


def decided(example, evaluation, champion, **champion_metrics):
    return challenge(
        example.dataset,
        example.features.folder,
        raw=example.raw,
        evaluation=evaluation,
        challenger=example.detector,
        champion=champion,
        champion_metrics=champion_metrics,
    )


def test_against_itself_the_difference_is_zero(whole):
    example, _, folder, _ = whole
    decision = decided(example, folder, example.detector)
    assert decision.challenger == decision.champion
    assert decision.difference == 0
    assert decision.promote


def test_a_champion_that_hears_another_rate_loses_and_the_reason_says_so(whole):
    example, _, folder, _ = whole
    detector = example.detector
    slower = detector.sound.model_copy(update={"rate": 8000})
    description = detector.description.model_copy(update={"sound": slower})
    champion = SoundDetector(description, detector.scaler, detector.scorer, detector.session, {})
    decision = decided(example, folder, champion)
    assert decision.promote
    assert "the champion cannot score the new test part: " in decision.reason
    assert "16000 samples a second where 8000 are expected" in decision.reason
    with pytest.raises(DetectorError):
        champion.score_waves(np.zeros(3))


@pytest.mark.parametrize(("past", "promoted"), [(0.0, True), (1.1, False)])
def test_with_folds_the_leave_out_figures_decide(left_out, past, promoted):
    example, found, folder, _ = left_out
    decision = decided(example, folder, example.detector, test_roc_auc=past)
    assert decision.metric == "roc_auc"
    assert decision.challenger == found.metrics["roc_auc"]
    assert decision.difference == pytest.approx(found.metrics["roc_auc"] - past)
    assert decision.promote == promoted
    assert f"{found.metrics['roc_auc']:.3f} against the champion's {past:.3f}" in decision.reason


def test_with_folds_and_the_same_figure_the_fresher_one_is_taken(left_out):
    example, found, folder, _ = left_out
    decision = decided(example, folder, example.detector, test_roc_auc=found.metrics["roc_auc"])
    assert decision.promote
    assert decision.difference == 0


def test_with_folds_and_no_figure_of_the_champion_it_says_that_nothing_was_compared(left_out):
    example, _, folder, _ = left_out
    decision = decided(example, folder, example.detector)
    assert decision.promote
    assert "nothing could be compared" in decision.reason
