import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vae_pipeline.errors import DataError
from vae_pipeline.features.scaling import RegimeScaler, fill_gaps

NO_SETTINGS = np.empty((0, 0))


def six_regimes(rows: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    regime = rng.integers(0, 6, rows)
    conditions = np.column_stack([10.0 * regime, 0.1 * (regime % 3), 100.0 - regime])
    sensors = 500 + 40.0 * regime[:, None] + rng.standard_normal((rows, 3)) * [0.05, 1.0, 3.0]
    return sensors, conditions + rng.normal(0, 1e-3, conditions.shape), regime


def test_one_regime_is_plain_standardisation():
    values = np.random.default_rng(0).normal(5, 2, (200, 3))
    scaler = RegimeScaler.fit(values, np.random.default_rng(1).normal(size=(200, 2)), 1)
    np.testing.assert_allclose(
        scaler.transform(values, np.empty((200, 2))), (values - values.mean(0)) / values.std(0), atol=1e-5
    )
    assert scaler.regimes == 1


def test_regimes_are_found_and_scaled_each_by_itself():
    sensors, conditions, regime = six_regimes()
    scaler = RegimeScaler.fit(sensors, conditions, 6)
    found = scaler.regime_of(conditions)
    assert len(set(zip(found, regime, strict=True))) == 6
    scaled = scaler.transform(sensors, conditions)
    assert scaled.dtype == np.float32
    for index in range(6):
        np.testing.assert_allclose(scaled[found == index].mean(0), 0, atol=1e-4)
        # spreads 1e-3 of the spread between regimes keep their own scale
        np.testing.assert_allclose(scaled[found == index].std(0), 1, atol=1e-3)


def test_the_same_rows_give_the_same_scaler():
    sensors, conditions, _ = six_regimes()
    one, other = (RegimeScaler.fit(sensors, conditions, 6).to_arrays() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_constant_in_a_regime_is_zero_there_and_bounded_elsewhere():
    sensors, conditions, regime = six_regimes()
    sensors[regime == 2, 1] = 518.67
    scaler = RegimeScaler.fit(sensors, conditions, 6)
    assert np.all(scaler.transform(sensors, conditions)[regime == 2, 1] == 0)
    sensors[:, 1] += 1000
    assert np.all(np.abs(scaler.transform(sensors, conditions)) <= scaler.clip)


def test_constant_everywhere_is_zero_with_sd_one():
    values = np.column_stack([np.full(50, 0.1), np.arange(50.0)])
    scaler = RegimeScaler.fit(values, np.empty((50, 0)), 1)
    assert scaler.sd[0, 0] == 1
    assert np.all(scaler.transform(values, np.empty((50, 0)))[:, 0] == 0)
    assert scaler.transform(np.array([[1.1, 0.0]]), np.empty((1, 0)))[0, 0] == pytest.approx(1.0)


def test_regime_of_one_row_takes_the_overall_spread():
    sensors = np.concatenate([np.random.default_rng(0).normal(0, 1, (100, 1)), [[50.0]]])
    conditions = np.concatenate([np.zeros((100, 1)), [[1.0]]])
    scaler = RegimeScaler.fit(sensors, conditions, 2)
    lonely = scaler.regime_of(np.array([[1.0]]))[0]
    assert scaler.mean[lonely, 0] == 50
    assert scaler.sd[lonely, 0] == pytest.approx(sensors.std())


def test_fewer_distinct_settings_reduce_the_regimes():
    sensors = np.random.default_rng(0).normal(size=(60, 2))
    assert RegimeScaler.fit(sensors, np.tile([[0.0], [1.0]], (30, 1)), 6).regimes == 2
    assert RegimeScaler.fit(sensors, np.empty((60, 0)), 6).regimes == 1


def test_missing_values_are_left_out():
    sensors, conditions, _ = six_regimes()
    sensors[::7, 0] = np.nan
    sensors[3, 1] = np.inf
    scaler = RegimeScaler.fit(sensors, conditions, 6)
    assert np.isfinite(scaler.mean).all()
    assert (scaler.sd > 0).all()
    scaled = scaler.transform(sensors, conditions)
    assert np.isnan(scaled[::7, 0]).all()
    assert scaled[3, 1] == scaler.clip
    known, partly = conditions[:1], conditions[:1].copy()
    partly[0, 1] = np.nan
    assert scaler.regime_of(partly) == scaler.regime_of(known)


def test_arrays_round_trip(tmp_path):
    sensors, conditions, _ = six_regimes()
    scaler = RegimeScaler.fit(sensors, conditions, 6, clip=7.0)
    np.savez(tmp_path / "scaling.npz", allow_pickle=False, **scaler.to_arrays())
    with np.load(tmp_path / "scaling.npz") as stored:
        again = RegimeScaler.from_arrays(stored)
    assert again.clip == 7.0
    np.testing.assert_array_equal(again.transform(sensors, conditions), scaler.transform(sensors, conditions))


def test_no_rows_and_wrong_columns_are_refused():
    with pytest.raises(DataError, match="no healthy rows"):
        RegimeScaler.fit(np.empty((0, 2)), NO_SETTINGS, 1)
    scaler = RegimeScaler.fit(np.zeros((3, 2)), np.empty((3, 0)), 1)
    with pytest.raises(DataError, match="got 3 sensors"):
        scaler.transform(np.zeros((3, 3)), np.empty((3, 0)))


@settings(deadline=None)
@given(arrays(np.float64, (12, 2), elements=st.floats(-1e9, 1e9)), st.integers(1, 4))
def test_scaled_values_are_finite_and_bounded(values, regimes):
    scaler = RegimeScaler.fit(values, values[:, :1], regimes)
    scaled = scaler.transform(values, values[:, :1])
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= 20
    assert 1 <= scaler.regimes <= regimes


@given(arrays(np.float32, (9, 2), elements=st.one_of(st.just(np.nan), st.floats(-5, 5, width=32))))
def test_fill_gaps_matches_a_loop(rows):
    before = rows.copy()
    expected = rows.copy()
    for channel in range(2):
        last = 0.0
        for index in range(len(rows)):
            last = last if np.isnan(rows[index, channel]) else rows[index, channel]
            expected[index, channel] = last
    filled = fill_gaps(rows)
    np.testing.assert_array_equal(filled, expected)
    np.testing.assert_array_equal(rows, before)
    assert filled.dtype == np.float32
