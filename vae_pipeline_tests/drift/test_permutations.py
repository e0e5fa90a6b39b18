"""P-values are ranks among arrangements of whole blocks, and several of them together keep one level."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from vae_pipeline.drift.permutations import arrangements, combined, holm, p_value, p_values, sides
from vae_pipeline.drift.statistics import share_shift

WHOLE = st.integers(0, 6).map(float)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=8), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_blocks_move_whole_and_as_many_stay_on_each_side(reference, current):
    sizes = [*reference, *current]
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    is_current = blocks >= len(reference)
    found = sides(blocks, is_current, permutations=20, seed=1)
    assert found.shape == (21, len(blocks))
    assert np.array_equal(found[0], is_current)
    for row in found:
        per_block = [set(row[blocks == block].tolist()) for block in range(len(sizes))]
        assert all(len(values) == 1 for values in per_block)
        assert sum(values == {True} for values in per_block) == len(current)


def test_all_arrangements_come_up_alike_often():
    blocks = np.arange(5)
    found = sides(blocks, blocks < 2, permutations=4000, seed=0)[1:]
    counted = dict.fromkeys(combinations(range(5), 2), 0)
    for row in found:
        counted[tuple(np.flatnonzero(row))] += 1
    assert len(counted) == arrangements(3, 2) == 10
    assert stats.chisquare(list(counted.values())).pvalue > 1e-4


def test_the_same_seed_gives_the_same_arrangements():
    blocks = np.arange(30)
    one, two, other = (sides(blocks, blocks < 9, 50, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@given(arrays(np.float64, st.integers(2, 40), elements=WHOLE))
def test_a_p_value_is_a_rank_that_counts_the_observed_one(values):
    beaten = sum(value >= values[0] for value in values[1:])
    assert p_value(values) == pytest.approx((1 + beaten) / len(values))


def test_shares_of_single_samples_are_fishers_exact_test():
    reference, current = np.repeat([1, 0], [3, 97]), np.repeat([1, 0], [9, 51])
    marked = np.concatenate([reference, current]).astype(bool)
    is_current = np.arange(160) >= 100
    found = p_value(share_shift(marked, sides(np.arange(160), is_current, 20_000, 0)))
    one_sided = stats.fisher_exact([[9, 51], [3, 97]], alternative="greater").pvalue
    hits = np.arange(13)
    chance = stats.hypergeom(160, 12, 60).pmf(hits)
    as_far = np.abs(hits / 60 - (12 - hits) / 100) >= 9 / 60 - 3 / 100 - 1e-12
    assert chance[as_far].sum() == pytest.approx(found, abs=0.004)
    assert one_sided <= chance[as_far].sum()


@given(arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=WHOLE))
def test_step_down_compares_with_the_highest_of_those_left(values):
    """Westfall and Young's algorithm 4.1, spelled out."""
    order = sorted(range(values.shape[1]), key=lambda j: -values[0, j])
    expected, least = {}, 0.0
    for place, j in enumerate(order):
        left = order[place:]
        beaten = sum(max(row[k] for k in left) >= values[0, j] for row in values)
        least = max(least, beaten / len(values))
        expected[j] = least
    np.testing.assert_allclose(p_values(values), [expected[j] for j in range(values.shape[1])])


@given(arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=WHOLE))
def test_statistics_together_compare_the_smallest_p_value(values):
    statistics = list(values.T)
    each = [[np.mean(column >= value) for value in column] for column in statistics]
    smallest = np.min(each, axis=0)
    assert combined(statistics) == pytest.approx(np.mean(smallest <= smallest[0] + 1e-12))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_rejects_what_its_procedure_rejects(values):
    """In order of size, each against the level over the number left, until one is not below it."""
    adjusted = holm(values)
    assert all(one >= other for one, other in zip(adjusted, values, strict=True))
    for level in (0.01, 0.05, 0.2):
        rejected, going = set(), True
        for place, j in enumerate(sorted(range(len(values)), key=lambda k: values[k])):
            going = going and values[j] * (len(values) - place) <= level
            if going:
                rejected.add(values[j])
        assert {value for value, each in zip(values, adjusted, strict=True) if each <= level} == rejected


def test_no_arrangement_is_more_than_one():
    assert arrangements(20, 1) == 21
    assert arrangements(20, 3) == 1771
