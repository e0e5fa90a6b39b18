"""Each statistic, for every arrangement at once, is what a slow formula gives for that arrangement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import pdist

from vae_pipeline.drift.statistics import (
    BINS,
    Ordered,
    bandwidth,
    kolmogorov_smirnov,
    mean_shift,
    mmd,
    psi,
    share_shift,
    variance_shift,
    wasserstein,
)

VALUES = st.integers(-20, 20).map(float) | st.floats(-1e3, 1e3, width=32)


@st.composite
def arranged(draw, dimensions=None):
    """Pooled values, with ties, and a few arrangements of at least two samples a side."""
    n = draw(st.integers(6, 24))
    shape = n if dimensions is None else (n, draw(st.integers(1, dimensions)))
    values = draw(arrays(np.float64, shape, elements=VALUES))
    seed, m = draw(st.integers(0, 2**16)), draw(st.integers(2, n - 2))
    random = np.random.default_rng(seed)
    sides = np.array([random.permutation(np.arange(n) < m) for _ in range(4)])
    return values, sides


def split(values, side):
    return values[~side], values[side]


@given(arranged(dimensions=3))
def test_mmd_is_the_mean_over_pairs(case):
    values, sides = case
    width = bandwidth(values)

    def mean_kernel(one, other, *, same):
        total, count = 0.0, 0
        for i, x in enumerate(one):
            for j, y in enumerate(other):
                if not (same and i == j):
                    total += np.exp(-((x - y) ** 2).sum() / (2 * width**2))
                    count += 1
        return total / count

    for side, found in zip(sides, mmd(values, sides), strict=True):
        reference, current = split(values, side)
        expected = (
            mean_kernel(reference, reference, same=True)
            + mean_kernel(current, current, same=True)
            - 2 * mean_kernel(reference, current, same=False)
        )
        assert found == pytest.approx(expected, abs=1e-5)


def test_the_bandwidth_is_the_median_distance():
    values = np.random.default_rng(0).normal(size=(50, 3))
    assert bandwidth(values) == np.median(pdist(values))
    assert bandwidth(np.ones((5, 2))) == 1.0


@given(arranged())
def test_kolmogorov_smirnov_is_that_of_scipy(case):
    values, sides = case
    expected = [stats.ks_2samp(*split(values, side)).statistic for side in sides]
    np.testing.assert_allclose(kolmogorov_smirnov(Ordered(values, sides)), expected, atol=1e-6)


@given(arranged())
def test_wasserstein_is_that_of_scipy_in_pooled_sds(case):
    values, sides = case
    spread = values.std() or 1.0
    expected = [stats.wasserstein_distance(*split(values, side)) / spread for side in sides]
    np.testing.assert_allclose(wasserstein(Ordered(values, sides)), expected, atol=1e-4)


@given(arranged())
def test_psi_compares_the_shares_of_the_references_deciles(case):
    values, sides = case
    for side, found in zip(sides, psi(Ordered(values, sides)), strict=True):
        reference, current = split(values, side)
        ordered = np.sort(reference)
        ends = [ordered[int(np.ceil(len(ordered) * tenth / BINS)) - 1] for tenth in range(1, BINS)]
        expected, low = 0.0, -np.inf
        for high in [*ends, np.inf]:
            p, q, both = (((side > low) & (side <= high)).sum() for side in (current, reference, values))
            if both:
                added = BINS / 2 * both / len(values)
                p, q = (p + added) / (len(current) + BINS / 2), (q + added) / (len(reference) + BINS / 2)
                expected += (p - q) * np.log(p / q)
            low = max(low, high)
        assert found == pytest.approx(expected, abs=1e-9)


@given(arranged())
def test_mean_shift_is_welchs_t(case):
    values, sides = case
    for side, found in zip(sides, mean_shift(values, sides), strict=True):
        reference, current = split(values, side)
        error = np.sqrt(reference.var(ddof=1) / len(reference) + current.var(ddof=1) / len(current))
        if error > 1e-6 * max(1.0, np.abs(values).max()):
            expected = abs(stats.ttest_ind(current, reference, equal_var=False).statistic)
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(arranged())
def test_variance_shift_is_the_log_ratio_of_variances(case):
    values, sides = case
    for side, found in zip(sides, variance_shift(values, sides), strict=True):
        one, other = (part.var(ddof=1) for part in split(values, side))
        if min(one, other) > 1e-4 * max(values.var(), 1e-9):
            assert found == pytest.approx(abs(np.log(other / one)), abs=1e-4)


@given(arranged())
def test_share_shift_is_the_difference_of_shares(case):
    values, sides = case
    marked = values > np.median(values)
    expected = [abs(marked[side].mean() - marked[~side].mean()) for side in sides]
    np.testing.assert_allclose(share_shift(marked, sides), expected, atol=1e-12)


def test_what_never_changes_has_not_drifted():
    sides = np.array([np.arange(20) < 7, np.arange(20) % 3 == 0])
    constant = np.full(20, 3.5)
    ordered = Ordered(constant, sides)
    for found in (
        kolmogorov_smirnov(ordered),
        wasserstein(ordered),
        psi(ordered),
        mean_shift(constant, sides),
        variance_shift(constant, sides),
        mmd(constant[:, None], sides),
    ):
        np.testing.assert_allclose(found, 0.0, atol=1e-6)


@given(arranged(), st.floats(0.5, 4.0), st.floats(-50.0, 50.0))
def test_units_of_measurement_do_not_matter(case, scale, offset):
    """In sds, in ranks and in shares nothing changes; values are whole numbers, so that ties stay ties."""
    values, sides = case
    values = np.round(values)
    other = values * 2.0 ** round(scale) + round(offset)
    for statistic in (kolmogorov_smirnov, wasserstein, psi):
        one, two = statistic(Ordered(values, sides)), statistic(Ordered(other, sides))
        np.testing.assert_allclose(one, two, atol=1e-5)
