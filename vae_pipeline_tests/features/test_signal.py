from typing import Any

import numpy as np
import pytest
import pywt
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vae_pipeline.errors import DataError
from vae_pipeline.features.signal import (
    STATISTICS,
    band_energies,
    statistic_names,
    wavelet_energies,
    window_statistics,
)
from vae_pipeline.features.spectrogram import spectrogram

# quarters: no two values differ by rounding alone, which is where libraries disagree on what is constant
quarters = st.integers(-400, 400).map(lambda number: number / 4)
windows = arrays(
    np.float64,
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=40).map(lambda s: (s[0] % 3 + 1, 2, s[2])),
    elements=quarters,
)


def slow(series: np.ndarray) -> dict[str, float]:
    n, mean = len(series), sum(series) / len(series)
    ac = series - mean
    constant = series.min() == series.max()
    rms = np.sqrt(sum(value**2 for value in series) / n)
    found = {
        "mean": mean,
        "std": np.sqrt(sum(ac**2) / n),
        "skew": 0.0 if constant else scipy.stats.skew(series),
        "kurtosis": 0.0 if constant else scipy.stats.kurtosis(series),
        "rms": rms,
        "peak_to_peak": max(series) - min(series),
        "crest_factor": 0.0 if constant else max(abs(series)) / rms,
    }
    # the plain Fourier sum, negative frequencies folded onto positive ones
    energy = np.zeros(n // 2 + 1)
    for k in range(n):
        wave = np.exp(-2j * np.pi * k * np.arange(n) / n)
        energy[min(k, n - k)] += abs((ac * wave).sum()) ** 2 / n**2
    for number, band in enumerate(np.array_split(np.arange(1, n // 2 + 1), 4), start=1):
        found[f"band_{number}"] = energy[band].sum()
    level = min(3, pywt.dwt_max_level(n, "db2"))
    coefficients = pywt.wavedec(np.zeros(n) if constant else ac, "db2", mode="periodization", level=level)
    found |= {name: 0.0 for name in STATISTICS if name.startswith("wavelet")}
    found["wavelet_approximation"] = (coefficients[0] ** 2).sum() / n
    for offset, detail in enumerate(coefficients[1:]):
        found[f"wavelet_detail_{level - offset}"] = (detail**2).sum() / n
    return found


@settings(deadline=None, max_examples=40)
@given(windows)
def test_statistics_match_slow_loops(values):
    names = statistic_names(["a", "b"])
    found = window_statistics(values)
    assert found.shape == (len(values), len(names))
    assert found.dtype == np.float32
    expected = np.array(
        [[slow(window[channel])[name] for channel in range(2) for name in STATISTICS] for window in values]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert names[0] == "a_mean"
    assert names[len(STATISTICS)] == "b_mean"


@settings(deadline=None)
@given(windows)
def test_bands_sum_to_the_energy_without_the_mean(values):
    np.testing.assert_allclose(band_energies(values).sum(-1), values.var(axis=-1), rtol=1e-9, atol=1e-9)


@given(arrays(np.float64, (2, 2, 48), elements=quarters))
def test_wavelets_keep_the_energy(values):
    np.testing.assert_allclose(wavelet_energies(values).sum(-1), (values**2).mean(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e30, 1e-30])
@pytest.mark.parametrize("time", [1, 2, 3, 50])
def test_constant_windows_are_finite(value, time):
    found = dict(zip(STATISTICS, window_statistics(np.full((1, 1, time), value))[0], strict=True))
    assert np.isfinite(list(found.values())).all()
    assert found["skew"] == found["kurtosis"] == found["crest_factor"] == found["std"] == 0


def test_a_sine_falls_into_its_band():
    wave = np.sin(2 * np.pi * 0.4 * np.arange(50))[None, None]
    assert band_energies(wave)[0, 0].argmax() == 3
    assert band_energies(wave)[0, 0].sum() == pytest.approx(0.5)


@settings(deadline=None)
@given(windows, st.data())
def test_spectrogram_matches_scipy(values, data):
    segment = data.draw(st.integers(1, values.shape[-1]))
    hop = data.draw(st.integers(1, segment))
    oracle: Any = scipy.signal.spectrogram  # its annotation of detrend leaves False out
    _, _, expected = oracle(
        values, window="hann", nperseg=segment, noverlap=segment - hop, detrend=False, scaling="spectrum"
    )
    found = spectrogram(values, segment, hop)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found.shape[2:] == (segment // 2 + 1, (values.shape[-1] - segment) // hop + 1)


@pytest.mark.parametrize(("segment", "hop"), [(11, 1), (0, 1), (4, 0)])
def test_spectrogram_refuses_pieces_that_do_not_fit(segment, hop):
    with pytest.raises(DataError, match=f"segment={segment}"):
        spectrogram(np.zeros((1, 1, 10)), segment, hop)
