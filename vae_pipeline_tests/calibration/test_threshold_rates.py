"""Rates on known distributions, equivariance, and the formulas against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vae_pipeline.calibration.thresholds import (
    METHODS,
    block_maxima,
    conformal,
    conformal_p_values,
    gaussian,
    mad,
    peaks_over_threshold,
    percentile,
)
from vae_pipeline.calibration.thresholds.extreme_values import excess_quantile, moment_fit
from vae_pipeline.errors import CalibrationError

UNSUPERVISED = [name for name in METHODS if name != "best_f1"]
samples = st.lists(st.floats(-1e3, 1e3, width=32), min_size=20, max_size=200)
rates = st.floats(0.001, 0.5)


@pytest.mark.parametrize("name", ["percentile", "mad", "gaussian", "conformal"])
@given(scores=samples, one=rates, other=rates)
def test_a_higher_rate_never_raises_the_value(name, scores, one, other):
    low, high = sorted((one, other))
    slack = 1e-9 * max(map(abs, scores))
    assert METHODS[name](scores, high).value <= METHODS[name](scores, low).value + slack


@pytest.mark.parametrize("name", ["peaks_over_threshold", "block_maxima"])
@pytest.mark.parametrize("seed", range(3))
def test_a_higher_rate_lowers_the_fitted_value(name, seed):
    scores = np.random.default_rng(seed).gamma(2.0, size=2000)
    values = [METHODS[name](scores, rate).value for rate in (1e-5, 1e-4, 1e-3, 0.01, 0.04)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["percentile", "mad", "gaussian", "conformal"])
@given(scores=samples, rate=rates, scale=st.floats(0.01, 100.0), shift=st.floats(-100.0, 100.0))
def test_shift_and_scale_carry_over(name, scores, rate, scale, shift):
    before = np.array(scores)
    if before.std() < 1e-3 or np.median(np.abs(before - np.median(before))) < 1e-3:
        return  # equal or almost equal scores take the way of the constant
    expected = shift + scale * METHODS[name](before, rate).value
    found = METHODS[name](shift + scale * before, rate).value
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * (abs(shift) + scale * np.abs(before).max()))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10.0, 10.0))
def test_shift_and_scale_carry_over_to_fits(seed, scale, shift):
    scores = np.random.default_rng(seed).gamma(2.0, size=1000)
    for method in (peaks_over_threshold, block_maxima):
        expected = method(scores, 0.001)
        found = method(scale * (scores + shift), 0.001)
        # the searches stop at 1e-4 of a standardised parameter
        assert found.value == pytest.approx(scale * (expected.value + shift), abs=0.01 * scale)


def test_closed_forms():
    scores = np.random.default_rng(1).normal(5.0, 2.0, size=501)
    assert percentile(scores, 0.05).value == pytest.approx(np.quantile(scores, 0.95))
    assert gaussian(scores, 0.05).value == pytest.approx(scores.mean() + 1.6448536 * scores.std(ddof=1))
    deviation = stats.median_abs_deviation(scores, scale="normal")
    assert mad(scores, 0.05).value == pytest.approx(np.median(scores) + 1.6448536 * deviation, rel=1e-4)


def test_mad_of_mostly_equal_scores_falls_back():
    scores = np.r_[np.zeros(60), np.arange(1.0, 41.0)]
    threshold = mad(scores, 0.05)
    assert threshold.value == percentile(scores, 0.05).value
    assert threshold.method == "percentile"
    assert "mad fell back" in threshold.warnings[0]


@pytest.mark.parametrize(("distribution", "name"), [(stats.norm(), "gaussian"), (stats.norm(), "mad")])
def test_normal_methods_on_normal_scores(distribution, name):
    rates_found = [
        distribution.sf(METHODS[name](distribution.rvs(size=2000, random_state=seed), 0.01).value) for seed in range(50)
    ]
    assert np.mean(rates_found) == pytest.approx(0.01, rel=0.1)


class TestConformal:
    @pytest.mark.parametrize(
        ("n", "rate", "order"), [(99, 0.01, 99), (199, 0.05, 190), (999, 0.001, 999), (99, 0.05, 95)]
    )
    def test_order_statistic(self, n, rate, order):
        threshold = conformal(np.random.default_rng(0).permutation(np.arange(1.0, n + 1)), rate)
        assert threshold.value == order
        assert threshold.parameters["order"] == order
        assert not threshold.warnings

    def test_too_few_scores_for_the_rate(self):
        threshold = conformal(np.arange(98.0), 0.01)
        assert threshold.value == 97.0
        assert "takes 99" in threshold.warnings[0]
        assert "not the asked 0.01" in threshold.guarantee
        assert threshold.parameters["guaranteed_rate"] == pytest.approx(1 / 99)

    @pytest.mark.parametrize(("n", "rate"), [(50, 0.1), (200, 0.05), (200, 0.01)])
    def test_marginal_validity(self, n, rate):
        trials = 4000
        generator = np.random.default_rng(7)
        alarms = 0
        for _ in range(trials):
            scores = generator.standard_t(3, size=n + 1)
            alarms += bool(conformal(scores[:n], rate).decide(scores[n:])[0])
        exact = conformal(np.arange(float(n)), rate).parameters["guaranteed_rate"]
        assert exact <= rate
        # alarms are binomial with the exact rate: ranks of exchangeable scores are uniform
        low, high = stats.binom.ppf([1e-4, 1 - 1e-4], trials, exact)
        assert low <= alarms <= high

    def test_range_of_one_calibration_set(self):
        generator = np.random.default_rng(3)
        inside = 0
        for _ in range(1000):
            threshold = conformal(generator.uniform(size=300), 0.05)
            inside += threshold.parameters["rate_low"] <= 1 - threshold.value <= threshold.parameters["rate_high"]
        low, high = stats.binom.ppf([1e-4, 1 - 1e-4], 1000, 0.95)
        assert low <= inside <= high

    @given(
        calibration=st.lists(st.integers(0, 30), min_size=20, max_size=80),
        scores=st.lists(st.integers(-2, 33), min_size=1, max_size=20),
        rate=st.floats(0.05, 0.5),
    )
    def test_p_values_agree_with_the_threshold(self, calibration, scores, rate):
        if len(set(calibration)) == 1:
            return
        p_values = conformal_p_values(scores, calibration)
        brute = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
        assert p_values.tolist() == brute
        decided = conformal(calibration, rate).decide(scores)
        assert decided.tolist() == (p_values <= rate * (1 + 1e-12)).tolist()

    def test_p_values_refuse_nan(self):
        with pytest.raises(CalibrationError, match="1 of 2 scores are nan"):
            conformal_p_values([np.nan, 1.0], [1.0, 2.0])


class TestPeaksOverThreshold:
    @pytest.mark.parametrize(
        ("distribution", "tolerance"), [(stats.norm(), 0.3), (stats.gamma(2.0), 0.3), (stats.t(3.0), 0.4)]
    )
    def test_far_rate_is_right_on_average(self, distribution, tolerance):
        found = [
            distribution.sf(peaks_over_threshold(distribution.rvs(size=5000, random_state=seed), 0.001).value)
            for seed in range(20)
        ]
        # sd of one rate is at least that of the binomial count of 5 in 5000, 0.45 relative; 20 draws make 0.1
        assert np.mean(found) == pytest.approx(0.001, rel=tolerance)

    def test_beats_the_sample_beyond_one_in_n(self):
        rates_found = {"percentile": [], "peaks_over_threshold": []}
        for seed in range(30):
            scores = stats.expon.rvs(size=5000, random_state=seed)
            for name, found in rates_found.items():
                found.append(abs(stats.expon.logsf(METHODS[name](scores, 1e-5).value) - np.log(1e-5)))
        assert np.mean(rates_found["peaks_over_threshold"]) < np.mean(rates_found["percentile"])

    def test_fit_equals_scipy(self):
        scores = np.random.default_rng(0).standard_t(3, size=4000)
        found = peaks_over_threshold(scores, 0.001).parameters
        excesses = scores[scores > found["peak"]] - found["peak"]
        shape, _, scale = stats.genpareto.fit(excesses, floc=0.0)
        assert (found["shape"], found["scale"]) == pytest.approx((shape, scale), abs=2e-3)
        expected = found["peak"] + stats.genpareto.isf(0.001 / found["share"], shape, 0.0, scale)
        assert peaks_over_threshold(scores, 0.001).value == pytest.approx(expected, rel=2e-3)

    @pytest.mark.parametrize("shape", [-0.4, -1e-12, 0.0, 1e-12, 1e-7, 0.5])
    def test_quantile_is_continuous_in_the_shape(self, shape):
        expected = stats.genpareto.isf(0.02, shape, 0.0, 3.0) if abs(shape) > 1e-3 else -3.0 * np.log(0.02)
        assert excess_quantile(0.02, shape, 3.0) == pytest.approx(expected, rel=1e-5)
        assert excess_quantile(1.5, shape, 3.0) == 0.0

    def test_moments(self):
        excesses = stats.genpareto.rvs(-0.2, scale=2.0, size=200_000, random_state=0)
        assert moment_fit(excesses) == pytest.approx((-0.2, 2.0), abs=0.02)
        assert moment_fit(np.full(5, 3.0)) == (0.0, 3.0)

    def test_interval(self):
        distribution, hits = stats.gamma(2.0), 0
        for seed in range(100):
            found = peaks_over_threshold(distribution.rvs(size=2000, random_state=seed), 0.005)
            low, high = found.parameters["value_low"], found.parameters["value_high"]
            assert low < found.value < high
            hits += low < distribution.isf(0.005) < high
        # nominal 95, the delta method falls short by a few points with 100 excesses
        assert hits >= 80

    @pytest.mark.parametrize(
        ("scores", "rate", "reason"),
        [
            (np.arange(200.0), 0.01, "10 excesses"),
            (np.arange(2000.0), 0.2, "lies above excess_share"),
            (np.r_[np.arange(950.0), np.repeat([2000.0, 3000.0], 25)], 0.01, "tied"),
            (stats.pareto.rvs(0.3, size=2000, random_state=0), 0.01, "shape"),
        ],
    )
    def test_falls_back_and_says_why(self, scores, rate, reason):
        found = peaks_over_threshold(scores, rate)
        assert found.value == percentile(scores, rate).value
        assert found.method == "percentile"
        assert "fell back" in found.warnings[0]
        assert reason in found.warnings[0]

    def test_search_that_fails(self, monkeypatch):
        def fail(*_, **__):
            raise stats.FitError

        monkeypatch.setattr("vae_pipeline.calibration.thresholds.extreme_values._search", fail)
        scores = np.random.default_rng(0).gamma(2.0, size=2000)
        for method in (peaks_over_threshold, block_maxima):
            assert "did not converge" in method(scores, 0.01).warnings[0]

    def test_share_out_of_range(self):
        with pytest.raises(CalibrationError, match="excess_share"):
            peaks_over_threshold(np.arange(100.0), 0.01, excess_share=1.0)


class TestBlockMaxima:
    @pytest.mark.parametrize("distribution", [stats.norm(), stats.gamma(2.0)])
    def test_far_rate_is_right_on_average(self, distribution):
        found = [
            distribution.sf(block_maxima(distribution.rvs(size=5000, random_state=seed), 0.001, 50).value)
            for seed in range(20)
        ]
        assert np.mean(found) == pytest.approx(0.001, rel=0.4)

    def test_exact_on_gumbel_scores(self):
        # the maximum of m Gumbel scores is Gumbel, so only the fit errs
        distribution = stats.gumbel_r()
        found = block_maxima(distribution.rvs(size=100_000, random_state=0), 0.002, 100)
        assert distribution.sf(found.value) == pytest.approx(0.002, rel=0.15)
        assert found.parameters["shape"] == pytest.approx(0.0, abs=0.08)

    def test_blocks(self):
        scores = np.random.default_rng(0).normal(size=1030)
        assert block_maxima(scores, 0.001).parameters["blocks"] == 51
        assert "2 blocks" in block_maxima(scores, 0.001, 500).warnings[0]
        assert "no tail" in block_maxima(scores, 0.1, 20).warnings[0]
        assert "tied" in block_maxima(np.minimum(scores, 1.0), 0.001, 20).warnings[0]
        with pytest.raises(CalibrationError, match="block is 0"):
            block_maxima(scores, 0.001, 0)


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_the_order_of_magnitude_is_right_for_normal_scores(name):
    found = [
        stats.norm.sf(METHODS[name](np.random.default_rng(seed).normal(size=2000), 0.01).value) for seed in range(20)
    ]
    assert np.mean(found) == pytest.approx(0.01, rel=0.25)
