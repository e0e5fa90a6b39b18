"""The blur beside scipy's filter, whatever the size of the maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vae_pipeline.features.blur import blurred


@given(st.integers(1, 90), st.integers(1, 90), st.floats(0.2, 12.0), st.integers(1, 3), st.integers(0, 1000))
def test_is_the_filter_of_scipy(height, width, deviation, count, seed):
    maps = np.random.default_rng(seed).normal(size=(count, 2, height, width)).astype(np.float32)
    expected = gaussian_filter(maps.astype(np.float64), (0, 0, deviation, deviation))
    np.testing.assert_allclose(blurred(maps, deviation), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("deviation", [0.0, -1.0])
def test_without_a_deviation_nothing_is_blurred(deviation):
    maps = np.random.default_rng(0).normal(size=(2, 8, 8))
    assert (blurred(maps, deviation) == maps).all()


def test_keeps_type_and_leaves_what_it_was_given():
    maps = np.random.default_rng(0).normal(size=(3, 40, 50))
    before = maps.copy()
    assert blurred(maps, 2.0).dtype == np.float64
    assert (maps == before).all()
