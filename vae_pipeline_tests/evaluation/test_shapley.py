"""Shapley values of the score over the statistics of windows."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from vae_pipeline.evaluation.shapley import NAMED, FeatureTable, _held_out
from vae_pipeline.features.signal import statistic_names, window_statistics
from vae_pipeline.features.windows import Windows

LENGTH, SENSORS = 16, ("speed", "heat")


def windows_of(random, count=400):
    rows = random.normal(size=(count * LENGTH, len(SENSORS))).astype(np.float32)
    rows *= np.repeat(random.uniform(0.5, 3.0, (count, len(SENSORS))), LENGTH, axis=0).astype(np.float32)
    return Windows(rows, np.arange(count) * LENGTH, LENGTH)


@pytest.fixture(scope="module")
def table():
    """Trees that follow the spread of one sensor."""
    import shap

    statistics = window_statistics(windows_of(np.random.default_rng(0)).take(slice(None)))
    names = statistic_names(SENSORS)
    trees = HistGradientBoostingRegressor(random_state=0).fit(statistics, statistics[:, names.index("heat_std")])
    return FeatureTable(tuple(names), shap.TreeExplainer(trees), 1.0), trees


def test_the_statistic_that_moves_the_score_comes_first(table):
    for window in range(5):
        one = windows_of(np.random.default_rng(1)).subset(np.array([window]))
        leading = table[0].attributed(one)[0].name
        assert leading in {"heat_std", "heat_rms", "heat_peak_to_peak"}


def test_values_add_up_to_what_the_trees_say_beyond_their_mean(table):
    shapley, trees = table
    windows = windows_of(np.random.default_rng(2))
    for window in range(5):
        one = windows.subset(np.array([window]))
        total = sum(part.value for part in shapley.attributed(one))
        expected = float(np.ravel(shapley.explainer.expected_value)[0])
        (said,) = trees.predict(window_statistics(one.take(slice(None))))
        assert total == pytest.approx(said - expected, abs=1e-6)


def test_the_rest_is_one_sum(table):
    parts = table[0].attributed(windows_of(np.random.default_rng(3)).subset(np.array([0])))
    assert len(parts) == NAMED + 1
    assert parts[-1].name == "other statistics"


@pytest.mark.parametrize("units", [1, 2, 3, 7, 40])
def test_trees_are_judged_on_units_they_were_not_fitted_on(units):
    codes = np.repeat(np.arange(units), 20)
    held = _held_out(codes)
    assert held.any()
    assert not held.all()
    if units > 1:
        assert not set(codes[held]) & set(codes[~held])
