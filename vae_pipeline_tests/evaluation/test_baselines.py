import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation import baselines
from vae_pipeline.evaluation.baselines import DESCRIPTIONS, EcodOnStatistics, Level, MeanSquare, Pca, ZScore
from vae_pipeline.evaluation.ecod import Ecod
from vae_pipeline_tests.evaluation.examples import rows_of


def statistics(windows):
    return np.concatenate([windows.mean(2), windows.std(2), windows.min(2), windows.max(2)], axis=1)


def windows_per_unit(windows, units=4):
    return np.tile(np.arange(len(windows) // units), units)


@pytest.fixture(scope="module")
def scores():
    fit, calibrate, test = rows_of(units=8, seed=1), rows_of(seed=2), rows_of(seed=3, shift=1.5)
    ages = {"calibrate": windows_per_unit(calibrate), "test": windows_per_unit(test)}
    told = []
    found = baselines.run_baselines(
        fit, calibrate, test, ages=ages, statistics=statistics, late=5, seed=0, progress=told.append
    )
    return found, told, calibrate, test


def test_every_baseline_scores_both_parts(scores):
    found, told, calibrate, test = scores
    assert set(found) == set(DESCRIPTIONS)
    assert set(told) == set(DESCRIPTIONS) - {"age"}
    for parts in found.values():
        assert parts["calibrate"].shape == (len(calibrate),)
        assert parts["test"].shape == (len(test),)
        assert np.isfinite(parts["test"]).all()


@pytest.mark.parametrize("name", sorted(DESCRIPTIONS))
def test_every_baseline_sees_a_plain_shift(scores, name):
    found, _, _, test = scores
    start = windows_per_unit(test)
    # windows that hold the change itself are neither
    clear = (start <= 60) | (start >= 80)
    assert roc_auc_score(start[clear] >= 80, found[name]["test"][clear]) > 0.99


def test_scores_do_not_depend_on_batches_or_company(scores, monkeypatch):
    found, _, calibrate, test = scores
    monkeypatch.setattr(baselines, "BATCH", 7)
    few = test.subset(np.arange(10))
    fit = rows_of(units=8, seed=1)
    again = baselines.run_baselines(fit, calibrate.subset(np.arange(0)), few, ages={}, statistics=statistics, late=5)
    assert "age" not in again
    for name, parts in again.items():
        assert parts["calibrate"].shape == (0,)
        assert parts["test"] == pytest.approx(found[name]["test"][:10], rel=1e-4, abs=1e-5), name


def test_pca_equals_sklearn():
    fit, test = rows_of(seed=1), rows_of(seed=2)
    mine = Pca()
    mine.fit(fit)
    flat = fit.take(slice(None)).reshape(len(fit), -1).astype(float)
    other = test.take(slice(None)).reshape(len(test), -1).astype(float)
    model = PCA(20, svd_solver="full").fit(flat)
    error = ((other - model.inverse_transform(model.transform(other))) ** 2).mean(axis=1)
    assert mine.score(test) == pytest.approx(error, rel=1e-6)


def test_pca_averages_neighbours_in_wide_windows(monkeypatch):
    monkeypatch.setattr(baselines, "PCA_WIDTH", 30)
    fit = rows_of(seed=1)
    model = Pca()
    model.fit(fit)
    assert model.axes.shape == (30, 20)
    assert np.isfinite(model.score(fit)).all()


def test_pca_of_one_value_a_window_and_of_one_window():
    narrow = rows_of(channels=1, length=1)
    for fit in (narrow, rows_of().subset(np.arange(1))):
        model = Pca()
        model.fit(fit)
        assert np.isfinite(model.score(fit)).all()


def test_simple_scores_by_hand():
    windows = rows_of(seed=4)
    values = windows.take(slice(None)).astype(float)
    late = values[:, :, -5:].mean(axis=2)
    assert MeanSquare(5).score(windows) == pytest.approx((late**2).mean(axis=1), rel=1e-5)
    assert ZScore().score(windows) == pytest.approx(np.abs(values).mean(axis=(1, 2)), rel=1e-5)
    level = Level(5)
    level.fit(windows)
    z = (late - late.mean(axis=0)) / late.std(axis=0)
    assert level.score(windows) == pytest.approx(np.abs(z).mean(axis=1), rel=1e-4)


def test_late_may_exceed_the_window():
    windows = rows_of()
    assert MeanSquare(500).score(windows) == pytest.approx(MeanSquare(windows.length).score(windows))


def test_statistics_that_are_not_finite_do_no_harm():
    windows = rows_of()
    model = EcodOnStatistics(lambda batch: np.where(statistics(batch) > 2.5, np.nan, statistics(batch)))
    model.fit(windows)
    assert np.isfinite(model.score(windows)).all()


def test_constant_sensors_do_no_harm():
    windows = rows_of()
    windows.rows[:, 0] = 3.0
    found = baselines.run_baselines(windows, windows, windows, ages={}, statistics=statistics, late=5)
    assert all(np.isfinite(parts["test"]).all() for parts in found.values())


def test_an_empty_fit_part_and_wrong_ages_are_refused():
    windows = rows_of()
    with pytest.raises(DataError, match="fit part has no windows"):
        baselines.run_baselines(windows.subset(np.arange(0)), windows, windows, ages={}, statistics=statistics, late=5)
    ages = {"calibrate": np.arange(len(windows)), "test": np.arange(3)}
    with pytest.raises(DataError, match="3 ages"):
        baselines.run_baselines(windows, windows, windows, ages=ages, statistics=statistics, late=5)


def slow_ecod(reference, samples):
    """ECOD by loops over samples and features."""
    n, features = reference.shape
    scores = []
    for sample in samples:
        total = 0.0
        for j in range(features):
            column = reference[:, j]
            left = -np.log(max((column <= sample[j]).sum(), n / (n + 1)) / n)
            right = -np.log(max((column >= sample[j]).sum(), n / (n + 1)) / n)
            skew = ((column - column.mean()) ** 3).mean()
            automatic = left if skew < 0 else right if skew > 0 else left + right
            total += max(left, right, automatic)
        scores.append(total)
    return scores


def test_ecod_equals_the_loops():
    rng = np.random.default_rng(0)
    reference, samples = np.round(rng.gamma(2, size=(60, 4)), 1), rng.gamma(3, size=(25, 4))
    samples[0] = 99.0
    assert Ecod(reference).score(samples) == pytest.approx(slow_ecod(reference, samples))


def test_ecod_equals_pyod_on_its_reference():
    ecod = pytest.importorskip("pyod.models.ecod", reason="pyod is not installed; only the loops were compared")
    reference = np.random.default_rng(0).gamma(2, size=(300, 6))
    reference[:, 1] *= -1
    peer = ecod.ECOD().fit(reference).decision_scores_
    assert Ecod(reference).score(reference) == pytest.approx(peer)
