"""Challenger and champion are compared on the same raw rows, each with its own scaling and window."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation.challenge import challenge, challenge_windows, raw_test_columns
from vae_pipeline.evaluation.windows import scored_part
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.records import Calibration, Window
from vae_pipeline_tests.detector.examples import draw_network, made


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("challenger")
    example = made(folder, sensors=3)
    write_scores(folder / "evaluated", example.features, example.detector)
    return example, folder / "evaluated"


def write_scores(folder, features, detector):
    windows = features.windows("test")
    scored = scored_part(features, windows, detector.score_scaled(windows).score)
    folder.mkdir()
    np.savez(folder / "scores.npz", **vars(scored), row=windows.ends)


def champion_of(example, folder, length=20, score=("error", "level", "latent")) -> WindowDetector:
    """A detector fitted on the same raw data, with a window or a score of its own."""
    settings = {"window": Window(length=length), "calibration": Calibration(score=score)}
    dataset = example.dataset.model_copy(update=settings)
    (folder / "features").mkdir(parents=True)
    build(dataset, example.raw, folder / "features")
    network = draw_network(folder / "network", 3, length)
    return calibrate_windows(dataset, "old", FeatureSet.open(folder / "features"), network)[0]


def decided(example, champion):
    made_by, evaluation = example
    return challenge_windows(
        made_by.dataset,
        made_by.features,
        raw=made_by.raw,
        evaluation=evaluation,
        challenger=made_by.detector,
        champion=champion,
    )


def test_a_champion_of_another_kind_of_data_loses_and_the_reason_says_so(example):
    made_by, evaluation = example
    clips = SimpleNamespace(description=SimpleNamespace(medium="sound"))
    paths = {"raw": made_by.raw, "evaluation": evaluation, "challenger": made_by.detector, "champion_metrics": {}}
    decision = challenge(made_by.dataset, made_by.features.folder, **paths, champion=clips)
    assert decision.promote
    assert decision.reason.endswith("cannot score the new test part: it was fitted on data of medium sound")
    same = challenge(made_by.dataset, made_by.features.folder, **paths, champion=made_by.detector)
    assert same == decided(example, made_by.detector)


def test_the_first_champion_needs_no_opponent(example):
    decision = decided(example, None)
    assert decision.promote
    assert decision.champion is None


def test_against_itself_the_difference_is_zero(example):
    decision = decided(example, example[0].detector)
    assert decision.difference == pytest.approx(0, abs=1e-9)
    assert decision.challenger == decision.champion
    assert decision.promote


def test_a_champion_that_scores_worse_loses(example, tmp_path):
    champion = champion_of(example[0], tmp_path)
    upside_down = replace(champion.scorer, part_deviation=-champion.scorer.part_deviation)
    worse = WindowDetector(champion.description, champion.scaler, upside_down, champion.session, {})
    decision = decided(example, worse)
    assert decision.promote
    assert decision.difference > 0.1
    assert "better" in decision.reason


@pytest.mark.parametrize("length", [10, 30])
def test_a_champion_with_another_window_is_compared_on_the_windows_both_can_score(example, tmp_path, length):
    champion = champion_of(example[0], tmp_path, length=length)
    decision = decided(example, champion)
    assert decision.champion is not None
    assert decision.low is not None
    assert decision.low <= decision.difference <= decision.high


def test_a_champion_whose_windows_are_longer_than_every_unit_shares_none(example, tmp_path):
    champion = champion_of(example[0], tmp_path)
    endless = WindowDetector(
        champion.description.model_copy(update={"window": 4000}), champion.scaler, champion.scorer, champion.session, {}
    )
    decision = decided(example, endless)
    assert decision.promote
    assert "share no test window" in decision.reason


def test_a_challenger_that_cannot_be_compared_has_to_keep_the_floor(example, tmp_path):
    made_by, evaluation = example
    shutil.copytree(evaluation, tmp_path / "evaluated")
    with np.load(evaluation / "scores.npz") as scores:
        np.savez(tmp_path / "evaluated/scores.npz", **{**scores, "score": -scores["score"]})
    champion = SimpleNamespace(description=SimpleNamespace(medium="sound"))
    paths = {"raw": made_by.raw, "evaluation": tmp_path / "evaluated", "challenger": made_by.detector}
    decision = challenge(made_by.dataset, made_by.features.folder, **paths, champion=champion, champion_metrics={})
    assert not decision.promote
    assert "does not lie above the floor of 0.5; nothing could be compared: the champion cannot" in decision.reason


def test_a_champion_whose_column_is_gone_loses_and_the_reason_names_it(example, tmp_path):
    champion = champion_of(example[0], tmp_path)
    description = champion.description.model_copy(update={"sensors": ("sensor_1", "sensor_2", "oil")})
    decision = decided(example, WindowDetector(description, champion.scaler, champion.scorer, champion.session, {}))
    assert decision.promote
    assert "the champion cannot score the new test part: column 'oil' is missing" in decision.reason


def test_raw_test_rows_are_those_behind_the_feature_rows(example):
    made_by, _ = example
    columns, feature_row = raw_test_columns(made_by.features, made_by.raw, ("sensor_1", "sensor_3", "oil"))
    table = pq.read_table(made_by.raw / "test.parquet")
    assert set(columns) == {"sensor_1", "sensor_3"}
    assert np.array_equal(np.sort(columns["sensor_3"]), np.sort(table["sensor_3"].to_numpy()))
    settings = np.empty((len(feature_row), 0))
    sensors = np.stack([columns["sensor_1"], np.zeros(len(feature_row)), columns["sensor_3"]], axis=1)
    scaled = made_by.features.scaler.transform(sensors, settings)
    np.testing.assert_allclose(scaled[:, [0, 2]], made_by.features.rows[feature_row][:, [0, 2]], atol=1e-5)


def test_without_a_test_file_the_rows_cut_off_the_training_file_are_used(tmp_path):
    example = made(tmp_path, sensors=2, test_units=0)
    write_scores(tmp_path / "evaluated", example.features, example.detector)
    decision = decided((example, tmp_path / "evaluated"), example.detector)
    assert decision.difference == pytest.approx(0, abs=1e-9)
