"""Pairs are evaluated beside each modality's own detector and their late fusion, and group by group."""

import numpy as np
import pytest

from vae_pipeline.calibration.separation import roc_auc
from vae_pipeline.detector.detector import Detector
from vae_pipeline.evaluation.challenge import challenge
from vae_pipeline.evaluation.evaluate import evaluate
from vae_pipeline.evaluation.explain import explain_test_part
from vae_pipeline.evaluation.result import read_scored
from vae_pipeline.features.pair_set import GROUPS
from vae_pipeline.storage import write_json
from vae_pipeline_tests.detector.pair_examples import made_pairs

HISTORY = [{"epoch": 0.0, "train_loss": 2.0, "validation_loss": 1.0, "validation_kl": 1.0, "active_units": 2.0}]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def result(example):
    folder = example.folder
    example.detector.save(folder / "c/detector")
    write_json(folder / "c/report.json", example.report)
    write_json(folder / "t/history.json", HISTORY)
    (folder / "e").mkdir()
    found = evaluate(example.dataset, example.pairs.folder, folder / "t", folder / "c", folder / "e")
    return found, folder / "e"


def test_the_fused_score_is_that_of_the_detector(result, example):
    found, folder = result
    scored, places = read_scored(folder)
    paired = example.pairs.paired("test")
    np.testing.assert_array_equal(places, np.arange(len(paired)))
    np.testing.assert_array_equal(scored.label, paired.label)
    expected = example.detector.score_scaled(paired.windows.take(slice(None)), paired.pixels[paired.images]).score
    np.testing.assert_allclose(scored.score, expected, atol=1e-6)
    assert found.metrics["roc_auc"] == pytest.approx(roc_auc(scored.score, scored.label == 1))


def test_every_group_has_its_figures_against_what_is_normal_throughout(result, example):
    found, folder = result
    scored, _ = read_scored(folder)
    group = example.pairs.paired("test").group
    assert list(found.groups) == list(GROUPS)
    for place, name in enumerate(GROUPS[1:], start=1):
        some = (group == 0) | (group == place)
        assert found.groups[name]["pairs"] == 12
        assert found.groups[name]["roc_auc"] == pytest.approx(roc_auc(scored.score[some], group[some] == place))


def test_each_modality_and_late_fusion_stand_beside_it(result, example):
    found, _ = result
    assert set(found.baselines) == {"timeseries", "vision", "late_fusion", "late_fisher"}
    paired = example.pairs.paired("test")
    own = Detector.load(example.pairs.detector("windows")).score_scaled(paired.windows).score
    assert found.baselines["timeseries"]["roc_auc"] == pytest.approx(roc_auc(own, paired.label == 1))
    alone = example.detector.score_scaled(paired.windows.take(slice(None)), None).score
    known = paired.window_label >= 0
    expected = roc_auc(alone[known], paired.window_label[known] == 1)
    assert found.metrics["windows_alone_roc_auc"] == pytest.approx(expected)


def test_the_card_says_how_pairs_came_about(result):
    card = (result[1] / "card.md").read_text()
    assert "no natural pairing exists" in card
    assert "late fusion" in card


def test_a_champion_that_is_the_challenger_is_not_worse(result, example):
    _, folder = result
    (example.folder / "raw").mkdir()
    (example.folder / "raw/windows").symlink_to(example.folder / "table/raw")
    decision = challenge(
        example.dataset,
        example.pairs.folder,
        raw=example.folder / "raw",
        evaluation=folder,
        challenger=example.detector,
        champion=Detector.load(example.folder / "c/detector"),
        champion_metrics={},
    )
    assert decision.difference == pytest.approx(0.0, abs=1e-6)


def test_the_highest_alarms_of_pairs_are_explained(result, example):
    del result
    folder = example.folder / "why"
    folder.mkdir()
    dataset = example.dataset
    example.detector.save(folder / "c/detector")
    summary = explain_test_part(dataset, example.pairs.folder, folder, folder / "c", folder)
    scores = example.detector.score_scaled(
        example.pairs.paired("test").windows.take(slice(None)),
        example.pairs.images.pixels[example.pairs.paired("test").images],
    ).score
    assert summary.alarms == example.detector.decide(scores).sum()
    assert len(summary.explained) == len(list(folder.glob("*.json"))) - 1
    for page in folder.glob("0*.html"):
        assert "Which side of the pair" in page.read_text()
