"""Sides are thinned so that no unit counts more than on the other side, and fairly within each unit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_pipeline.drift.samples import PER_UNIT, Samples, balanced, thinned


def side(sizes, first=0):
    units = np.random.default_rng(len(sizes)).permutation(np.repeat(np.arange(len(sizes)) + first, sizes))
    n = len(units)
    return Samples(np.arange(n, dtype=float), np.zeros(n, bool), units, np.zeros(n, np.int64))


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(SIZES, st.integers(1, 25))
def test_every_unit_keeps_some_and_none_more_than_allowed(sizes, per_unit):
    found = thinned(side(sizes), per_unit, 10_000)
    assert np.unique(found.units, return_counts=True)[1].tolist() == [min(size, per_unit) for size in sizes]
    assert len(set(found.scores.tolist())) == len(found)


def test_every_sample_of_a_unit_is_as_likely_to_stay():
    """Few evenly spaced ones would be its first and last, and so another mix than its own."""
    counted = np.zeros(10)
    for seed in range(500):
        counted[thinned(side([10]), 2, 1000, seed).scores.astype(int)] += 1
    assert stats.chisquare(counted).pvalue > 1e-4


@given(SIZES, st.integers(5, 60))
def test_units_stay_whole_where_there_are_too_many(sizes, most):
    found = thinned(side(sizes), 4, most)
    kept = dict(zip(*np.unique(found.units, return_counts=True), strict=True))
    assert all(count == min(sizes[unit], 4) for unit, count in kept.items())
    whole = sum(min(size, 4) for size in sizes)
    assert min(whole, most - 3) <= len(found) <= most


@given(SIZES, SIZES)
def test_both_sides_have_as_many_samples_a_unit(one, other):
    reference, current = balanced(side(one), side(other), 10_000)
    allowed = min(PER_UNIT, int(np.median(one)), int(np.median(other)))
    for found in (reference, current):
        assert np.unique(found.units, return_counts=True)[1].max() <= allowed
    assert not set(reference.units.tolist()) & set(current.units.tolist())
    assert (reference.unit_count, current.unit_count) == (len(one), len(other))


def test_latents_and_inputs_go_along():
    n = 6
    every = Samples(
        np.arange(n, dtype=float),
        np.arange(n) > 3,
        np.arange(n),
        np.arange(n),
        np.arange(2 * n).reshape(n, 2),
        np.arange(3 * n).reshape(n, 3),
    )
    some = every.take(np.array([4, 1]))
    assert some.scores.tolist() == [4.0, 1.0]
    assert some.alarms.tolist() == [True, False]
    assert some.latents.tolist() == [[8, 9], [2, 3]]
    assert some.inputs[:, 0].tolist() == [12, 3]
    assert every.by_stretch.units is every.stretches
    assert some.unit_count == 2
