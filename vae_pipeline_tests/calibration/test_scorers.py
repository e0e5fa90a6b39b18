import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.calibration.scorers import PARTS, Observation, WindowScorer, late_weights
from vae_pipeline.errors import CalibrationError


def observed(n=200, channels=3, time=12, latent=2, seed=0):
    random = np.random.default_rng(seed)
    windows = random.standard_normal((n, channels, time)).astype(np.float32)
    reconstruction = (0.7 * windows + 0.1).astype(np.float32)
    mix = np.array([[1.0, 0.6], [0.0, 0.5]])[:latent, :latent]
    return Observation(windows, reconstruction, (random.standard_normal((n, latent)) @ mix + 3).astype(np.float32))


def some(batch, index):
    return Observation(*(values[index] for values in batch))


def constant(n=10):
    return Observation(np.zeros((n, 3, 12), np.float32), np.zeros((n, 3, 12), np.float32), np.zeros((n, 2), np.float32))


@given(st.lists(st.integers(0, 200), max_size=6))
def test_statistics_are_those_of_all_windows_whatever_the_batches(cuts):
    everything = observed()
    bounds = [0, *sorted(cuts), 200]
    batches = [some(everything, slice(a, b)) for a, b in itertools.pairwise(bounds)]
    healthy = WindowScorer.fit(batches, 4).healthy
    weights = np.arange(1, 5) / 10
    level = everything.windows[:, :, -4:].astype(float) @ weights
    error = level - everything.reconstruction[:, :, -4:].astype(float) @ weights
    np.testing.assert_allclose(healthy.level_mean, level.mean(0), atol=1e-6)
    np.testing.assert_allclose(healthy.level_deviation, level.std(0), rtol=1e-5)
    np.testing.assert_allclose(healthy.error_mean, error.mean(0), atol=1e-6)
    np.testing.assert_allclose(healthy.error_deviation, error.std(0), rtol=1e-5)
    np.testing.assert_allclose(healthy.latent_mean, everything.latent.mean(0), rtol=1e-5)
    covariance = np.cov(everything.latent.T.astype(float), bias=True)
    np.testing.assert_allclose(healthy.latent_precision @ covariance, np.eye(2), atol=1e-4)


def test_parts_follow_their_formulas():
    batch = observed()
    scorer = WindowScorer.fit([batch], 4)
    error, level = scorer.deviations(batch)
    healthy, parts = scorer.healthy, np.exp(scorer.parts(batch))
    for row in (0, 57, 199):
        centred = batch.latent[row] - healthy.latent_mean
        expected = [
            np.log(1 + error[row] ** 2).mean(),
            np.abs(level[row]).mean(),
            centred @ healthy.latent_precision @ centred,
            ((batch.windows[row] - batch.reconstruction[row]) ** 2).mean(),
        ]
        np.testing.assert_allclose(parts[row], expected, rtol=1e-4)


def test_deviations_of_healthy_windows_are_standard_and_name_the_faulty_sensor():
    batch = observed()
    scorer = WindowScorer.fit([batch], 4)
    for deviation in scorer.deviations(batch):
        np.testing.assert_allclose(deviation.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(deviation.std(0), 1, rtol=1e-5)
    batch.windows[0, 1, -4:] -= 20
    assert scorer.deviations(batch)[1][0].argmin() == 1


@pytest.mark.parametrize("fitted_on", [observed(10), constant()])
def test_constant_windows_have_finite_parts(fitted_on):
    scorer = WindowScorer.fit([fitted_on], 12)
    parts = scorer.parts(constant())
    assert np.isfinite(parts).all()
    scores = scorer.standardised(parts).combine(parts)
    assert np.isfinite(scores).all()
    assert np.isfinite(scorer.standardised(parts).combine(scorer.parts(observed(5)))).all()


@pytest.mark.parametrize("form", [("error",), ("error", "level", "latent"), ("latent", "mean_error"), PARTS])
def test_the_score_is_the_sum_of_its_standardised_parts(form):
    batch = observed()
    scorer = WindowScorer.fit([batch], 4)
    parts = scorer.parts(batch)
    scorer = WindowScorer(4, scorer.healthy, form).standardised(parts)
    z = (parts - parts.mean(0)) / parts.std(0)
    np.testing.assert_allclose(scorer.combine(parts), sum(z[:, PARTS.index(name)] for name in form), atol=1e-9)
    assert scorer.combine(parts).mean() == pytest.approx(0, abs=1e-9)


def test_scores_do_not_depend_on_the_batch():
    batch = observed()
    scorer = WindowScorer.fit([batch], 4)
    alone = np.concatenate([scorer.parts(some(batch, slice(i, i + 1))) for i in range(50)])
    np.testing.assert_allclose(scorer.parts(batch)[:50], alone, rtol=1e-4, atol=1e-5)


def test_arrays_hold_the_whole_scorer():
    batch = observed()
    scorer = WindowScorer.fit([batch], 4)
    scorer = scorer.standardised(scorer.parts(batch))
    again = WindowScorer.from_arrays(scorer.to_arrays(), 4, scorer.form)
    assert np.array_equal(again.combine(again.parts(batch)), scorer.combine(scorer.parts(batch)))


@given(st.integers(1, 4096))
def test_late_weights_rise_to_the_newest_row_and_sum_to_one(late):
    weights = late_weights(late)
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert (np.diff(weights) > 0).all()


@pytest.mark.parametrize("batches", [[], [observed(1)]])
def test_too_few_healthy_windows_are_an_error(batches):
    with pytest.raises(CalibrationError, match="at least two healthy windows"):
        WindowScorer.fit(batches, 4)


def test_no_normal_calibration_window_is_an_error():
    with pytest.raises(CalibrationError, match=r"raise split\.calibrate"):
        WindowScorer.fit([observed()], 4).standardised(np.empty((0, len(PARTS))))
