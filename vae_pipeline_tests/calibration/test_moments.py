import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.calibration.moments import RunningMoments


@given(
    rows=st.integers(1, 60),
    dimensions=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    offset=st.sampled_from([0.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_moments_are_those_of_all_rows_at_once_whatever_the_batches(rows, dimensions, cuts, offset, seed):
    values = offset + np.random.default_rng(seed).standard_normal((rows, dimensions))
    moments = RunningMoments(dimensions)
    for batch in np.split(values, sorted(min(cut, rows) for cut in cuts)):
        moments.add(batch)
    assert moments.count == rows
    np.testing.assert_allclose(moments.mean, values.mean(0), rtol=1e-10)
    expected = np.cov(values.T, bias=True).reshape(dimensions, dimensions) if rows > 1 else 0.0
    np.testing.assert_allclose(moments.covariance, expected, atol=1e-9)
    np.testing.assert_allclose(moments.deviation, values.std(0), atol=1e-6)


def test_before_any_row_there_is_no_spread():
    assert not RunningMoments(3).covariance.any()


def test_rows_in_float32_lose_no_digits():
    rows = (1000 + np.random.default_rng(0).standard_normal((100_000, 1))).astype(np.float32)
    moments = RunningMoments(1)
    for batch in np.split(rows, 200):
        moments.add(batch)
    np.testing.assert_allclose(moments.deviation, rows.astype(np.float64).std(0), rtol=1e-9)
