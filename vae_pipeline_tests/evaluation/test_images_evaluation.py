"""What evaluation says of images: which one, where in it, by kind of defect, and what it cannot say."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from vae_pipeline.calibration.separation import roc_auc
from vae_pipeline.detector.images import ImageDetector, full_size
from vae_pipeline.evaluation import images as images_evaluation
from vae_pipeline.evaluation.challenge import challenge
from vae_pipeline.evaluation.evaluate import evaluate
from vae_pipeline.evaluation.images import evaluate_images
from vae_pipeline.evaluation.localisation import PixelScores
from vae_pipeline.evaluation.metrics import Scored
from vae_pipeline.evaluation.result import read_evaluation, read_scored
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.storage import write_json

HISTORY = [{"epoch": float(epoch), "train_loss": 9.0 - epoch, "validation_loss": 9.5 - epoch} for epoch in range(3)]
FIGURES = {"cases", "score_by_defect", "precision_recall", "roc", "comparison", "histogram", "training"}


def evaluated(example, folder, images=None):
    told = []
    found = evaluate_images(
        example.dataset,
        example.detector,
        images or example.images,
        example.report,
        history=HISTORY,
        folder=folder,
        told=told.append,
    )
    return found, folder, told


def changed(images, **fields):
    return ImageSet(
        **{name.name: fields.get(name.name, getattr(images, name.name)) for name in dataclasses.fields(images)}
    )


@pytest.fixture(scope="module")
def result(image_example, tmp_path_factory):
    """By way of the folders, as the stage does it."""
    folder = tmp_path_factory.mktemp("evaluation")
    image_example.detector.save(folder / "calibrated/detector")
    write_json(folder / "calibrated/report.json", image_example.report)
    write_json(folder / "trained/history.json", HISTORY)
    (folder / "evaluated").mkdir()
    told = []
    found = evaluate(
        image_example.dataset,
        image_example.images.folder,
        folder / "trained",
        folder / "calibrated",
        folder / "evaluated",
        told.append,
    )
    return found, folder / "evaluated", told


def test_the_folder_holds_numbers_scores_card_and_figures(result):
    _, folder, _ = result
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "scores.npz", "card.md", "figures"}
    pictures = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(pictures) == FIGURES
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


def test_what_is_written_is_read_again(result, image_example):
    found, folder, _ = result
    assert read_evaluation(folder) == found
    scored, places = read_scored(folder)
    index = image_example.images.index("test")
    np.testing.assert_array_equal(places, index)
    np.testing.assert_array_equal(scored.label, image_example.images.label[index])
    expected = image_example.detector.score_images(image_example.images.pixels, index).score
    np.testing.assert_array_equal(scored.score, expected)


def test_figures_of_images_and_pixels_are_those_of_a_plain_count(result, image_example):
    found, folder, _ = result
    scored, places = read_scored(folder)
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc(scored.score, scored.label == 1))
    assert found.metrics["images"] == len(places) == 9
    pixels, masks = [], []
    for place in places.tolist():
        _, maps, _ = next(image_example.detector.observed(image_example.images.pixels, np.array([place])))
        mask = image_example.images.mask(place)
        pixels.append(full_size(maps[0], mask.shape).ravel())
        masks.append(mask.ravel())
    expected = roc_auc(np.concatenate(pixels), np.concatenate(masks))
    assert found.metrics["pixel_auroc"] == pytest.approx(expected, abs=1e-4)
    assert 0.0 <= found.metrics["aupro"] <= 1.0


def test_every_baseline_stands_beside_with_the_same_figures(result):
    found, _, told = result
    assert {"mean_error", "pixel_pca", "pixel_z", "patch_knn"} == set(found.baselines)
    needed = {"roc_auc", "pr_auc", "pr_auc_low", "pr_auc_high", "best_f1", "pixel_auroc", "aupro"}
    assert all(needed <= set(figures) for figures in found.baselines.values())
    assert found.cannot == ()
    assert "scoring 9 test images" in told
    assert {line.removeprefix("baseline ") for line in told if line.startswith("baseline ")} < set(found.baselines)


def test_groups_are_the_kinds_of_defect_each_against_all_good_images(result, image_example):
    found, folder, _ = result
    scored, places = read_scored(folder)
    kinds = np.array([image_example.images.defects[place] for place in places])
    assert {name: figures["images"] for name, figures in found.groups.items()} == {"hole": 3, "stain": 2}
    for name, figures in found.groups.items():
        some = (kinds == name) | (kinds == "good")
        assert figures["roc_auc"] == pytest.approx(roc_auc(scored.score[some], kinds[some] == name))
        threshold = image_example.detector.description.threshold.value
        assert figures["recall"] == (scored.score[kinds == name] > threshold).mean()
        assert {"pixel_auroc", "aupro"} <= set(figures)


def test_a_group_is_ranked_against_good_images_and_not_against_other_defects():
    random = np.random.default_rng(0)
    kinds = ["good"] * 6 + ["hole"] * 5 + ["stain"] * 4 + [None]
    label = np.array([0] * 6 + [1] * 9 + [-1], dtype=np.int8)
    scored = Scored.alone(random.normal(size=16), label)
    found = images_evaluation._groups(scored, kinds, PixelScores(), 0.3)
    assert set(found) == {"hole", "stain"}
    for name, figures in found.items():
        mine = np.array([kind == name for kind in kinds])
        pairs = [(a > b) + (a == b) / 2 for a in scored.score[mine] for b in scored.score[label == 0]]
        assert figures["roc_auc"] == pytest.approx(np.mean(pairs))
        assert figures["recall"] == pytest.approx((scored.score[mine] > 0.3).mean())
        assert "pixel_auroc" not in figures


def test_the_card_names_detector_data_threshold_and_groups(result, image_example):
    found, folder, _ = result
    card = (folder / "card.md").read_text()
    threshold = image_example.detector.description.threshold
    for text in ("vision-part", "0a1b", threshold.guarantee, "AUPRO", "| hole |", "| stain |", "at 32 pixels"):
        assert text in card
    assert f"{found.metrics['pr_auc']:.3f}" in card


def test_numbers_are_plain_json(result):
    content = json.loads((result[1] / "evaluation.json").read_text())
    assert all(np.isfinite(value) for value in content["metrics"].values())
    assert all(np.isfinite(value) for figures in content["groups"].values() for value in figures.values())


def test_without_masks_it_says_that_pixels_cannot_be_judged(image_example, tmp_path):
    images = changed(image_example.images, masks=(None,) * len(image_example.images.names))
    found, folder, _ = evaluated(image_example, tmp_path, images)
    assert "pixel_auroc" not in found.metrics
    assert "roc_auc" in found.metrics
    sentence = "Pixel ROC-AUC and AUPRO cannot be computed: no anomalous image has a mask."
    assert sentence in found.cannot
    assert sentence in (folder / "card.md").read_text()


def test_some_images_without_a_mask_are_counted(image_example, tmp_path):
    first = int(np.flatnonzero(image_example.images.label == 1)[0])
    masks = tuple(None if place == first else mask for place, mask in enumerate(image_example.images.masks))
    found, _, _ = evaluated(image_example, tmp_path, changed(image_example.images, masks=masks))
    assert found.cannot == ("1 anomalous images have no mask and count in no figure of pixels.",)
    assert "pixel_auroc" in found.metrics


@pytest.mark.parametrize("missing", ["good", "defects"])
def test_with_one_class_alone_it_says_what_cannot_be_computed(image_example, tmp_path, missing):
    images = image_example.images
    gone = np.flatnonzero((images.part == "test") & (images.label == (0 if missing == "good" else 1)))
    part = images.part.copy()
    part[gone] = "fit"
    label = images.label.copy()
    label[gone] = 0
    found, folder, _ = evaluated(image_example, tmp_path, changed(images, part=part, label=label))
    assert "roc_auc" not in found.metrics
    assert found.cannot
    assert found.groups == {}
    assert found.best_baseline is None
    assert all(sentence in (folder / "card.md").read_text() for sentence in found.cannot)


def test_images_of_unknown_label_are_scored_and_judge_nothing(image_example, tmp_path):
    images = image_example.images
    label = images.label.copy()
    unknown = images.index("test")[[0, -1]]
    label[unknown] = -1
    masks = tuple(None if place in unknown else mask for place, mask in enumerate(images.masks))
    found, folder, _ = evaluated(image_example, tmp_path, changed(images, label=label, masks=masks))
    scored, _ = read_scored(folder)
    assert (scored.label == -1).sum() == 2
    known = scored.label >= 0
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc(scored.score[known], scored.label[known] == 1))


def decided(example, evaluation, champion):
    return challenge(
        example.dataset,
        example.images.folder,
        raw=example.raw,
        evaluation=evaluation,
        challenger=example.detector,
        champion=champion,
        champion_metrics={},
    )


def test_against_itself_the_difference_is_zero(result, image_example):
    decision = decided(image_example, result[1], image_example.detector)
    assert decision.challenger == decision.champion
    assert decision.difference == 0
    assert decision.promote


def test_the_first_champion_needs_no_opponent(result, image_example):
    decision = decided(image_example, result[1], None)
    assert decision.champion is None


def test_a_champion_that_scores_upside_down_loses(result, image_example):
    detector = image_example.detector
    upside_down = replace(detector.scorer, part_deviation=-detector.scorer.part_deviation)
    worse = ImageDetector(detector.description, upside_down, detector.session, {})
    own = read_evaluation(result[1]).metrics["pr_auc"]
    decision = decided(image_example, result[1], worse)
    assert decision.challenger == pytest.approx(own)
    assert decision.champion < decision.challenger
    assert decision.promote


def test_a_champion_that_refuses_the_new_images_loses_and_the_reason_names_one(result, image_example):
    detector = image_example.detector
    small = detector.description.imaging.model_copy(update={"max_pixels": 100})
    description = detector.description.model_copy(update={"imaging": small})
    decision = decided(image_example, result[1], ImageDetector(description, detector.scorer, detector.session, {}))
    assert decision.promote
    assert "the champion cannot score the new test part: " in decision.reason
    assert "test/good/000" in decision.reason
