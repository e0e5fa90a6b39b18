"""What a process was asked lately beside what is normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.detector.detector import Judged
from vae_pipeline.monitoring.recent import MOST, Recent

SCORES = st.lists(st.floats(-50, 50, allow_nan=False), min_size=1, max_size=60)


def recent(*parts, latent=None):
    found = Recent()
    for part in parts:
        scores = np.asarray(part, dtype=np.float64)
        found.add(Judged(scores, np.zeros((len(scores), 2), np.float32) if latent is None else latent))
    return found


def distance(one, other):
    """Largest distance of two empirical distribution functions, value by value."""
    return max(abs(np.mean([a <= at for a in one]) - np.mean([b <= at for b in other])) for at in [*one, *other])


@given(st.lists(SCORES, min_size=1, max_size=5), SCORES, st.floats(-50, 50, allow_nan=False))
def test_scores_are_compared_with_all_that_came(parts, normal, threshold):
    whole = [score for part in parts for score in part]
    found = recent(*parts)
    assert len(found) == len(whole)
    assert found.alarms(threshold) == pytest.approx(sum(score > threshold for score in whole) / len(whole))
    compared = found.compared(np.array(normal), None)
    assert compared.samples == len(whole)
    assert compared.score_mean == pytest.approx(sum(whole) / len(whole), abs=1e-9)
    assert compared.statistic == pytest.approx(distance(whole, normal), abs=1e-12)
    assert 0 <= compared.p_value <= 1
    assert compared.latent_shift is None


def test_the_same_scores_are_no_drift_and_others_are():
    normal = np.random.default_rng(0).normal(size=500)
    assert recent(normal).compared(normal, None).p_value == pytest.approx(1.0)
    assert recent(normal + 1).compared(normal, None).p_value < 1e-6


def test_the_last_ones_alone_are_kept():
    found = recent(np.zeros(MOST), np.ones(MOST - 1))
    assert len(found) == MOST
    assert found.alarms(0.5) == pytest.approx((MOST - 1) / MOST)
    found = recent(np.arange(3.0 * MOST))
    assert found.compared(np.zeros(9), None).score_mean == pytest.approx(np.arange(2.0 * MOST, 3 * MOST).mean())


def test_the_latent_that_moved_most_is_told_in_its_standard_deviations():
    random = np.random.default_rng(0)
    normal = random.normal(size=(400, 3)) * [1.0, 2.0, 0.0]
    seen = normal + np.array([0.5, -3.0, 0.0])
    shift = recent(np.zeros(400), latent=seen).compared(np.zeros(9), normal).latent_shift
    assert shift == pytest.approx(3.0 / normal[:, 1].std())


def test_samples_with_a_missing_side_do_not_count_for_latents():
    normal = np.random.default_rng(0).normal(size=(100, 2))
    some = normal.copy()
    some[50:, 1] = np.nan
    found = recent(np.zeros(100), latent=some).compared(np.zeros(9), normal)
    expected = np.abs(normal[:50].mean(axis=0) - normal.mean(axis=0)) / normal.std(axis=0)
    assert found.latent_shift == pytest.approx(expected.max())
    nothing = np.full((100, 2), np.nan)
    assert recent(np.zeros(100), latent=nothing).compared(np.zeros(9), normal).latent_shift is None
